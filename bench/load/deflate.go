package load

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// rsv1 marks a compressed message. RFC 7692, section 6.
const rsv1 = 0x40

// tail is what permessage-deflate leaves off. RFC 7692, section 7.2.1.
const tail = "\x00\x00\xff\xff"

// deflatedFrame returns a whole masked, compressed message.
func deflatedFrame(op byte, payload []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(payload); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return clientFrame(op|rsv1, bytes.TrimSuffix(b.Bytes(), []byte(tail))), nil
}

// learn sends one message on the first socket and returns the frame that comes
// back, which must be compressed and hold payload. Without a context that is
// taken over, which Compressed asks for, every answer to the same message is the
// same.
func (f *Fleet) learn(frame, payload []byte) ([]byte, error) {
	c := f.conns[0]
	if err := f.write(c, frame); err != nil {
		return nil, err
	}
	for {
		var reply []byte
		err := f.wait(func(from *conn, in []byte) error {
			c.in = append(c.in, in...)
			if len(c.in) == 0 || c.in[0]&rsv1 == 0 {
				return fmt.Errorf("the reply is not compressed: % x", c.in[:min(len(c.in), 8)])
			}
			c.in[0] &^= rsv1
			_, body, rest, err := splitFrame(c.in)
			c.in[0] |= rsv1
			if err == errShort {
				return nil
			}
			if err != nil || from != c || len(rest) > 0 {
				return errors.Join(errors.New("want one reply to one message"), err)
			}
			text, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(body), bytes.NewReader([]byte(tail+"\x01\x00\x00\xff\xff")))))
			if err != nil || !bytes.Equal(text, payload) {
				return fmt.Errorf("the compressed reply holds %.100q (%v)", text, err)
			}
			reply = bytes.Clone(c.in)
			c.in = c.in[:0]
			return nil
		})
		if err != nil || reply != nil {
			return reply, err
		}
	}
}
