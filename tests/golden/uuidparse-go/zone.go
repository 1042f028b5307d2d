package main

import "strings"

// Time zones as POSIX writes them in TZ. One that does not begin as such is UTC.

// When the clock changes in a year.
type change struct {
	kind             byte // 'J', 'N' (a day counted from 0) or 'M'
	day, week, month int64
	seconds          int64
}

type zone struct {
	standard, daylight int64
	changes            bool
	begin, end         change
}

type reader struct{ rest string }

func (r *reader) next(c byte) bool {
	if r.rest != "" && r.rest[0] == c {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

func (r *reader) while(allowed func(c byte) bool) string {
	end := 0
	for end < len(r.rest) && allowed(r.rest[end]) {
		end++
	}
	text := r.rest[:end]
	r.rest = r.rest[end:]
	return text
}

func letter(c byte) bool { return 'a' <= c|32 && c|32 <= 'z' }
func figure(c byte) bool { return '0' <= c && c <= '9' }

func (r *reader) name() bool {
	start := *r
	good := false
	if r.next('<') {
		text := r.while(func(c byte) bool { return letter(c) || figure(c) || c == '+' || c == '-' })
		good = len(text) >= 3 && r.next('>')
	} else {
		good = len(r.while(letter)) >= 3
	}
	if !good {
		*r = start
	}
	return good
}

func (r *reader) number() (int64, bool) {
	text := r.while(figure)
	value := int64(0)
	for i := range len(text) {
		value = min(value*10+int64(text[i]-'0'), 1<<30)
	}
	return value, text != ""
}

// Hours, minutes and seconds with a sign; the hours are at most `most`.
func (r *reader) clock(most int64) (int64, bool) {
	start := *r
	sign := int64(1)
	if r.next('-') {
		sign = -1
	} else {
		r.next('+')
	}
	hours, ok := r.number()
	if !ok {
		*r = start
	}
	seconds := min(hours, most) * 3600
	for unit := int64(60); ok && unit > 0 && strings.HasPrefix(r.rest, ":"); unit /= 60 {
		before := *r
		r.next(':')
		part, given := r.number()
		if !given {
			*r = before
			break
		}
		seconds += min(part, 59) * unit
	}
	return sign * seconds, ok
}

// A change, or `missing` where the text ends.
func (r *reader) change(missing change) (c change, ok bool) {
	r.next(',')
	switch {
	case r.rest == "":
		return missing, true
	case r.next('J'):
		c.kind = 'J'
		c.day, ok = r.number()
		ok = ok && 1 <= c.day && c.day <= 365
	case r.next('M'):
		var ok1, ok2, ok3 bool
		c.kind = 'M'
		c.month, ok1 = r.number()
		dot1 := r.next('.')
		c.week, ok2 = r.number()
		dot2 := r.next('.')
		c.day, ok3 = r.number()
		ok = ok1 && ok2 && ok3 && dot1 && dot2 && 1 <= c.month && c.month <= 12 && 1 <= c.week && c.week <= 5 && c.day <= 6
	default:
		c.kind = 'N'
		c.day, ok = r.number()
		ok = ok && c.day <= 365
	}
	c.seconds = 2 * 3600
	if ok && r.next('/') && r.rest != "" {
		if seconds, given := r.clock(1 << 16); given {
			c.seconds = seconds
		}
	}
	return c, ok && (r.rest == "" || r.rest[0] == ',')
}

func parseZone(text string) (z zone) {
	r := &reader{strings.TrimPrefix(text, ":")}
	if !r.name() {
		return z
	}
	offset, ok := r.clock(24)
	if !ok {
		return z
	}
	z.standard = -offset
	if r.rest == "" {
		return z
	}
	// From here on what can be read counts. Where nothing can, the clock of summer is that of UTC, and both changes are
	// at the year's begin: the greater of the two offsets decides which clock the year has.
	z.changes = true
	z.begin, z.end = change{kind: 'N'}, change{kind: 'N'}
	if r.name() {
		z.daylight = z.standard + 3600
		if offset, ok := r.clock(24); ok {
			z.daylight = -offset
		}
	}
	if begin, ok := r.change(change{'M', 0, 2, 3, 7200}); ok {
		z.begin = begin
		if end, ok := r.change(change{'M', 0, 1, 11, 7200}); ok {
			z.end = end
		}
	}
	return z
}

func (z zone) offset(seconds int64) int64 {
	if !z.changes {
		return z.standard
	}
	year, _, _ := civil(floor(seconds, 86400))
	begin := z.begin.in(year) - z.standard
	end := z.end.in(year) - z.daylight
	summer := seconds >= begin && seconds < end
	if begin > end {
		summer = seconds < end || seconds >= begin
	}
	if summer {
		return z.daylight
	}
	return z.standard
}

// The change in one year, in seconds of the local clock since 1970.
func (c change) in(year int64) int64 {
	first := days(year, 1, 1)
	leap := days(year+1, 1, 1)-first == 366
	switch c.kind {
	case 'J':
		first += c.day - 1
		if leap && c.day >= 60 {
			first++
		}
	case 'N':
		first += c.day
	default:
		first = days(year, c.month, 1)
		next := days(year, c.month+1, 1)
		first += ((c.day-(first+4))%7+7)%7 + 7*(c.week-1)
		for first >= next {
			first -= 7
		}
	}
	return first*86400 + c.seconds
}

func floor(a, b int64) int64 {
	quotient := a / b
	if a%b < 0 {
		quotient--
	}
	return quotient
}

// Days from 1970-01-01 to a date; the month may be 13.
func days(year, month, day int64) int64 {
	if month > 12 {
		year, month = year+1, month-12
	}
	if month <= 2 {
		year, month = year-1, month+12
	}
	return 365*year + floor(year, 4) - floor(year, 100) + floor(year, 400) + (153*(month-3)+2)/5 + day - 719469
}

func civil(day int64) (year, month, date int64) {
	year = 1970 + floor(day*400, 146097)
	for days(year+1, 1, 1) <= day {
		year++
	}
	for days(year, 1, 1) > day {
		year--
	}
	month = 1
	for days(year, month+1, 1) <= day {
		month++
	}
	return year, month, day - days(year, month, 1) + 1
}
