package ws

// DeflateParams is what was agreed on for permessage-deflate (RFC 7692). Both
// directions go without context takeover, always: a window that lives from
// message to message would belong to an idle socket.
type DeflateParams struct {
	ServerBits uint8 // the largest window of what we send, 8 to 15
	ClientBits uint8 // the largest window of what we receive, 8 to 15; the inflater takes any
}
