package volvox

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteUnits are the suffixes of an amount of bytes, in lower case.
var byteUnits = map[string]int64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20,
	"gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
}

// ParseBytes reads an amount of bytes as people write it: "1Gi", "1.5GiB",
// "512Mi", "500MB", "1073741824". Ki, Mi, Gi, Ti are powers of 1024, K, M, G,
// T powers of 1000; capitals do not matter. A fraction of a byte is cut off.
// Zero and less are refused, with code E_BAD_INPUT.
func ParseBytes(text string) (int64, error) {
	number, unit := splitQuantity(text)
	factor, known := byteUnits[strings.ToLower(unit)]
	value, err := strconv.ParseFloat(number, 64)
	if !known || err != nil {
		return 0, Errorf(BadInput, "%q is not an amount of bytes", text).
			Because("an amount is a number and a unit: Ki, Mi, Gi, Ti for powers of 1024, K, M, G, T for powers of 1000").
			WithTry("write 512Mi or 10Gi")
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil && whole > 0 && whole <= math.MaxInt64/factor {
		return whole * factor, nil
	}
	bytes := value * float64(factor)
	if !(bytes >= 1 && bytes < math.MaxInt64) {
		return 0, Errorf(BadInput, "%q is no usable amount of bytes", text).
			Because("it must be at least 1 byte and less than 8388608Ti").
			WithTry("write 512Mi or 10Gi")
	}
	return int64(bytes), nil
}

// FormatBytes writes an amount of bytes so that [ParseBytes] reads back the
// same: the largest unit of 1024 that gives a whole number or at most two
// digits after the point, as in "1Gi", "1.5Gi", "1000".
func FormatBytes(bytes int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	for i := len(units) - 1; i > 0; i-- {
		unit := int64(1) << (10 * i)
		if bytes < unit && bytes > -unit {
			continue
		}
		if bytes%unit == 0 {
			return fmt.Sprintf("%d%s", bytes/unit, units[i])
		}
		if part := bytes % unit; part*4%unit == 0 { // .25, .5, .75 are exact
			return strconv.FormatFloat(float64(bytes)/float64(unit), 'f', -1, 64) + units[i]
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// ShowBytes writes an amount of bytes for people to read, rounded to three
// digits: "1.34Gi". [FormatBytes] is exact.
func ShowBytes(bytes int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	value, i := float64(bytes), 0
	for math.Abs(value) >= 1024 && i < len(units)-1 {
		value, i = value/1024, i+1
	}
	decimals := 0
	if i > 0 {
		decimals = max(0, 2-len(strconv.Itoa(int(math.Abs(value))))+1)
	}
	number := strconv.FormatFloat(value, 'f', decimals, 64)
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + units[i]
}

// ParseCPU reads an amount of CPU as people write it, and returns thousandths
// of one: "2", "0.5", "500m". Zero and less, and amounts finer than a
// thousandth, are refused, with code E_BAD_INPUT.
func ParseCPU(text string) (int64, error) {
	number, unit := splitQuantity(text)
	factor := 1000.0
	if unit == "m" {
		factor = 1
	}
	value, err := strconv.ParseFloat(number, 64)
	millis := math.Round(value * factor)
	if err != nil || (unit != "" && unit != "m") || !(millis >= 1 && millis <= 1e9) || math.Abs(millis-value*factor) > 1e-6 {
		return 0, Errorf(BadInput, "%q is not an amount of CPU", text).
			Because("an amount is a number of CPUs such as 2 or 0.5, or thousandths of one such as 500m, and more than zero").
			WithTry("write 500m or 2")
	}
	return int64(millis), nil
}

// FormatCPU writes thousandths of a CPU so that [ParseCPU] reads back the
// same: "2", "500m".
func FormatCPU(millis int64) string {
	if millis%1000 == 0 {
		return strconv.FormatInt(millis/1000, 10)
	}
	return strconv.FormatInt(millis, 10) + "m"
}

// splitQuantity cuts "1.5 Gi" into "1.5" and "Gi".
func splitQuantity(text string) (number, unit string) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.TrimSpace(text[end:])
}
