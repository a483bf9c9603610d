package azure

// Remote tells readers that each request takes a round trip: what they can, they fetch by few and many at once.
func (s *Store) Remote() bool { return true }
