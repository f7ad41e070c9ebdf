package termination

import "time"

// WriteBehind is how long the reason of a terminating pod may take to be written after its deletion
// was admitted. The webhook keeps so few reasons outstanding that they are written within it, and
// until it is over nobody else guesses at a reason: the replica that was asked knows better.
const WriteBehind = 3 * time.Second
