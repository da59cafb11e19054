package edge

// methods are those that a Worker's Request can have (workerd's list).
var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "PATCH": true, "PURGE": true, "OPTIONS": true, "QUERY": true, "BAN": true,
	"COPY": true, "LOCK": true, "MKCOL": true, "MOVE": true, "PROPFIND": true, "PROPPATCH": true, "SEARCH": true, "UNLOCK": true, "ACL": true,
	"REPORT": true, "MKACTIVITY": true, "CHECKOUT": true, "MERGE": true, "MSEARCH": true, "NOTIFY": true, "SUBSCRIBE": true, "UNSUBSCRIBE": true,
}
