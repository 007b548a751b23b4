package top

import "unicode"

// Key takes what a key sent and reports whether to leave.
func (s *Screen) Key(key string) (quit bool) {
	if s.Typing {
		s.typed(key)
		return key == "\x03"
	}
	switch key {
	case "q", "\x03":
		return true
	case "j", "\x1b[B", "\x1bOB":
		s.Selected++
	case "k", "\x1b[A", "\x1bOA":
		s.Selected--
	case "s":
		s.Order = (s.Order + 1) % numOrders
		s.Selected = 0
	case "p", " ":
		s.Paused = !s.Paused
	case "?", "h":
		s.Help = !s.Help
	case "/":
		s.Typing = true
	case "\x1b":
		s.Filter, s.Help = "", false
	}
	return false
}

// typed takes a key into the filter.
func (s *Screen) typed(key string) {
	switch key {
	case "\r", "\n":
		s.Typing = false
	case "\x1b":
		s.Typing, s.Filter = false, ""
	case "\x7f", "\b":
		if r := []rune(s.Filter); len(r) > 0 {
			s.Filter = string(r[:len(r)-1])
		}
	default:
		for _, r := range key {
			if unicode.IsPrint(r) && len(s.Filter) < 64 {
				s.Filter += string(r)
			}
		}
	}
}
