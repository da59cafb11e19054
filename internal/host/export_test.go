package host

// Pending counts what a shard remembers of exchanges and questions in progress.
// On the loop.
func Pending(s *Shard) (calls, asks, queries int) {
	for _, l := range s.lives {
		calls += len(l.calls)
		asks += len(l.asks)
	}
	for _, o := range s.objects {
		if o.live != nil {
			calls = max(calls, len(o.live.calls))
			asks = max(asks, len(o.live.asks))
		}
	}
	return calls, asks, len(s.queries)
}
