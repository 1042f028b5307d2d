package main

import (
	"fmt"
	"math/bits"
	"strconv"
)

// The cells of one UUID; nil where there is nothing to say.
type row [4]*string

// From 1582-10-15 to 1970-01-01, in units of 100 ns.
const gregorian = 0x01B21DD213814000

var types = [16]string{"unknown", "time-based", "DCE", "name-based", "random", "sha1-based", "time-v6", "time-v7",
	"vendor", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"}

func parse(word string) (first, second uint64, ok bool) {
	if len(word) != 36 {
		return
	}
	digits := ""
	for i := range 36 {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if word[i] != '-' {
				return
			}
		} else {
			digits += word[i : i+1]
		}
	}
	first, wrong1 := strconv.ParseUint(digits[:16], 16, 64)
	second, wrong2 := strconv.ParseUint(digits[16:], 16, 64)
	return first, second, wrong1 == nil && wrong2 == nil
}

func describe(word string, zone zone) row {
	cell := func(text string) *string { return &text }
	var row row
	if word != "" {
		row[0] = &word
	}
	first, second, ok := parse(word)
	if !ok {
		row[1], row[2], row[3] = cell("invalid"), cell("invalid"), cell("invalid")
		return row
	}
	// Variants differ in how many bits are set before the first that is not.
	switch bits.LeadingZeros64(^second) {
	case 0:
		row[1] = cell("NCS")
		return row
	case 1:
		row[1] = cell("DCE")
	case 2:
		row[1] = cell("Microsoft")
		return row
	default:
		row[1] = cell("other")
		return row
	}
	version := first >> 12 & 15
	row[2] = cell(types[version])
	high, middle, low := first>>32, first>>16&0xFFFF, first&0xFFF
	switch version {
	case 1:
		row[3] = cell(ticks(low<<48|middle<<32|high, zone))
	case 6:
		row[3] = cell(ticks(high<<28|middle<<12|low, zone))
	case 7:
		millis := first >> 16
		row[3] = cell(moment(int64(millis/1000), millis%1000*1000, zone))
	}
	return row
}

func ticks(count uint64, zone zone) string {
	count -= gregorian
	return moment(int64(count/10_000_000), count%10_000_000/10, zone)
}

func moment(seconds int64, micros uint64, zone zone) string {
	offset := zone.offset(seconds)
	local := seconds + offset
	year, month, day := civil(local / 86400)
	clock := local % 86400
	// The sign is that of the hours: it is lost when they are zero.
	sign := '+'
	if offset <= -3600 {
		sign = '-'
	}
	if offset < 0 {
		offset = -offset
	}
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d,%06d%c%02d:%02d", year, month, day,
		clock/3600, clock/60%60, clock%60, micros, sign, offset/3600, offset/60%60)
}
