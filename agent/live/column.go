package live

// column is what one stat of an interface came to in each second of the history:
// entries for the seconds in which it was not what the ones before let expect. A
// counter that does not grow, a gauge that stays, and seconds without a reading
// take no room; others two or three bytes, where a ring of numbers took four for
// all.
type column struct {
	gauge bool
	from  uint64 // the tick of a gauge's first value: a new driver may bring it along
	// entries hold, oldest first, for each such second: how many seconds it came
	// after the entry before, if not one; then number<<1, odd if that is there. Both
	// are varints whose bytes are in reverse, as the newest seconds are asked for
	// most. number is 0 for none, else 1 more than a counter's value or than the
	// zigzag difference of a gauge to the entry before.
	entries []byte
	tick    uint64 // of the newest entry
	level   uint32 // of a gauge, by the newest entry; 0 of a counter

	// worst is the largest value that is not 0, of a gauge the smallest, and
	// worstTick its newest second, 0 for none; both are out of date if !ranked.
	worst     uint32
	worstTick uint64
	ranked    bool
}

// maxEntry is the most bytes that an entry takes.
const maxEntry = 16

// expected returns the value of a second that has no entry.
func (c *column) expected(s State, level uint32) uint32 {
	switch {
	case s != Valid:
		return none
	case c.gauge:
		return level
	}
	return 0
}

// add takes the value of a second, which comes after all others. Entries of
// seconds up to oldest may be dropped.
func (c *column) add(tick uint64, value uint32, s State, oldest uint64) {
	if c.ranked {
		c.rank(tick, value)
	}
	if value == c.expected(s, c.level) {
		return
	}
	if len(c.entries)+maxEntry > cap(c.entries) {
		if c.drop(oldest); len(c.entries)+maxEntry > cap(c.entries)*3/4 {
			c.entries = append(make([]byte, 0, cap(c.entries)*5/4+2*maxEntry), c.entries...)
		}
	}
	number := uint64(0)
	switch {
	case value == none:
	case c.gauge:
		d := int64(value) - int64(c.level)
		number, c.level = 1+uint64(d<<1^d>>63), value
	default:
		number = 1 + uint64(value)
	}
	number <<= 1
	if gap := tick - c.tick; gap != 1 {
		c.entries = appendReverse(c.entries, gap)
		number |= 1
	}
	c.entries, c.tick = appendReverse(c.entries, number), tick
}

// takeBack undoes the add of a second, if it is the newest.
func (c *column) takeBack(tick uint64) {
	p := c.newest()
	if p.back(tick - 1) {
		c.entries, c.tick, c.level = c.entries[:p.end], p.tick, p.level
	}
	c.ranked = false
}

// drop forgets seconds up to a tick.
func (c *column) drop(oldest uint64) {
	p := c.newest()
	p.back(oldest)
	c.entries = c.entries[:copy(c.entries, c.entries[p.end:])]
}

// shrink forgets seconds up to a tick, and gives up room that stays empty.
func (c *column) shrink(oldest uint64) {
	c.drop(oldest)
	if room := len(c.entries) + 2*maxEntry; room < cap(c.entries)/2 {
		c.entries = append(make([]byte, 0, room), c.entries...)
	}
}

// rank makes a value the worst, if it is.
func (c *column) rank(tick uint64, value uint32) {
	if value == none || value == 0 && !c.gauge {
		return
	}
	if c.worstTick == 0 || value == c.worst || (value < c.worst) == c.gauge {
		c.worst, c.worstTick = value, tick
	}
}

// place is where somebody is who reads a column backwards: behind an entry.
type place struct {
	c     *column
	end   int    // of the entry, in c.entries
	tick  uint64 // of the entry; 0 if there is none
	level uint32 // by it
	start int    // of the entry
	gap   uint64
	value uint64 // the entry's number
}

// newest returns the place behind the newest entry.
func (c *column) newest() place {
	p := place{c: c, end: len(c.entries), tick: c.tick, level: c.level}
	p.read()
	return p
}

// read reads the entry.
func (p *place) read() {
	if p.start = p.end; p.end == 0 {
		return
	}
	p.value, p.start = reverse(p.c.entries, p.end)
	p.gap = 1
	if p.value&1 != 0 {
		p.gap, p.start = reverse(p.c.entries, p.start)
	}
	p.value >>= 1
}

// back goes back behind the newest entry of a second that is not after tick, and
// reports whether it went anywhere.
func (p *place) back(tick uint64) (went bool) {
	for p.end > 0 && p.tick > tick {
		if p.c.gauge && p.value > 0 {
			z := p.value - 1
			p.level = uint32(int64(p.level) - int64(z>>1^-(z&1)))
		}
		p.tick -= p.gap
		p.end = p.start
		p.read()
		went = true
	}
	return went
}

// at returns the value of a second, whose state is s. Seconds must be asked for
// from the newest on.
func (p *place) at(tick uint64, s State) uint32 {
	p.back(tick)
	switch {
	case p.c.gauge && tick < p.c.from:
		return none
	case p.end == 0 || p.tick != tick:
		return p.c.expected(s, p.level)
	case p.value == 0:
		return none
	case p.c.gauge:
		return p.level
	}
	return uint32(p.value - 1)
}

// appendReverse appends a varint that is read from its end: seven bits a byte, the
// lowest last, and the high bit where more are before.
func appendReverse(b []byte, v uint64) []byte {
	groups := 1
	for v>>(7*groups) != 0 {
		groups++
	}
	for n := groups - 1; n >= 0; n-- {
		c := byte(v>>(7*n)) & 0x7f
		if n < groups-1 {
			c |= 0x80
		}
		b = append(b, c)
	}
	return b
}

// reverse reads what appendReverse wrote before end, and returns where it starts.
func reverse(b []byte, end int) (v uint64, start int) {
	for shift := 0; end > 0; shift += 7 {
		end--
		v |= uint64(b[end]&0x7f) << shift
		if b[end]&0x80 == 0 {
			break
		}
	}
	return v, end
}
