package cli

// color is what a colour means, not how it looks; a word or sign beside it
// says the same.
type color string

const (
	red    color = "31" // failed
	yellow color = "33" // wait
	green  color = "32" // well
	dim    color = "2"  // secondary
	bold   color = "1"
)

// painter returns a function that colours text for a stream, or leaves it.
func (a *app) painter(tty bool) func(color, string) string {
	on := tty && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"
	switch {
	case a.noColor || a.color == "never":
		on = false
	case a.color == "always":
		on = true
	}
	return func(c color, text string) string {
		if !on || text == "" || c == "" {
			return text
		}
		return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
	}
}
