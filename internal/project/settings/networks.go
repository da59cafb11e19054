package settings

// networkSets are the words that a setting of type Networks may have. IANA,
// "IPv4 Special-Purpose Address Registry" and that of IPv6: what is not globally
// reachable.
var networkSets = map[string][]string{
	"all": {"0.0.0.0/0", "::/0"},
	"private": {
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
		"::/127", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "ff00::/8",
	},
}
