package postgres

import "time"

// AnswerWithin has the store wait for a step no longer than this.
func (s *Store) AnswerWithin(limit time.Duration) { s.within = limit }
