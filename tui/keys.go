package tui

import "slices"

// action is what a key does.
type action uint8

// The actions of the key table.
const (
	actNone action = iota
	actHelp
	actPalette
	actBack
	actBefore
	actSection // 1 to 9: the digit says which
	actMenu
	actTimeline
	actNextPane
	actPrevPane
	actNextTab
	actPrevTab
	actZoom
	actRedraw
	actMouse
	actSuspend
	actQuit
	actAbort
	actMissing
	actRetry
	actDown
	actUp
	actPageDown
	actPageUp
	actHalfDown
	actHalfUp
	actFirst
	actLast
	actLeft
	actRight
	actOpen
	actParent
	actFilter
	actDropAll
	actKeep
	actMark
	actRange
	actUnmark
	actTag
	actNote
	actCopy
	actCopyRow
	actEvents
	actGoTime
	actZoomIn
	actZoomOut
	actRangeFrom
	actRangeTo
	actDeleted
	actAllKeys
	actOffset
	actFind
	actFindNext
	actFindPrev
	actForm
	actSubmit
	actSources
	actBytes
	actToggle
	actEditRequest
	actRun
	actCancelRun
	actUndo
	actJobs
	actAcquire
	actStopAcquire
)

// scope is where a key works. Scopes that can be active together share no key.
type scope uint8

// The scopes.
const (
	everywhere scope = iota
	inList
	inCells // lists whose cells can be kept as a filter
	inMarks
	inTree
	inHist
	inTimes // lists in time order
	inZoom  // a span of time that can be zoomed
	inViewer
	inForm
	inFiles
	inKeys
	inEvents
	inRespond
	inJobs
	withKeys // rows that name an access key or an entity
)

// binding is one row of the key table: what `?`, the hint line and the palette
// are made from.
type binding struct {
	act    action
	in     scope
	keys   []string // in Bubble Tea's spelling
	show   string   // as help and hints show them
	label  string   // one or two words, for the hint line; "" stays out of it
	name   string   // of the palette
	help   string
	writes bool
}

// table is the one key table. The order is that of the help.
var table = []binding{
	{actHelp, everywhere, []string{"?"}, "?", "help", "help", "the keys that work here", false},
	{actPalette, everywhere, []string{":"}, ":", "cmd", "", "commands by name, :N for row N, :go-to-time T", false},
	{actFilter, inList, []string{"/"}, "/", "filter", "filter", "filter the rows as you type", false},
	{actNextPane, everywhere, []string{"tab"}, "tab", "pane", "next-pane", "next pane", false},
	{actPrevPane, everywhere, []string{"shift+tab"}, "shift-tab", "", "previous-pane", "pane before", false},
	{actBack, everywhere, []string{"esc"}, "esc", "back", "", "close the innermost thing: overlay, field, zoom, last chip, screen", false},
	{actBefore, everywhere, []string{"ctrl+o"}, "ctrl-o", "", "back", "the place before, with its cursor", false},
	{actSection, everywhere, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}, "1-9", "section", "", "the first nine sections", false},
	{actMenu, everywhere, []string{"0"}, "0", "", "sections", "all sections", false},
	{actJobs, everywhere, []string{"J"}, "J", "", "", "what is acquired, here and by others", false},
	{actTimeline, everywhere, []string{"T"}, "T", "", "this-in-timeline", "this row's moment in Timeline", false},
	{actNextTab, everywhere, []string{"]"}, "]", "", "next-tab", "next tab of the pane", false},
	{actPrevTab, everywhere, []string{"["}, "[", "", "previous-tab", "tab before", false},
	{actZoom, everywhere, []string{"+"}, "+", "", "zoom-pane", "the focused pane over the whole screen, and back", false},
	{actMissing, everywhere, []string{"P"}, "P", "", "missing", "what is missing, and why", false},
	{actRetry, everywhere, []string{"r"}, "r", "", "reload", "ask again", false},
	{actMouse, everywhere, []string{"f2"}, "F2", "", "mouse", "mouse on or off (off: the terminal selects text)", false},
	{actRedraw, everywhere, []string{"ctrl+l"}, "ctrl-l", "", "redraw", "draw the screen again", false},
	{actSuspend, everywhere, []string{"ctrl+z"}, "ctrl-z", "", "suspend", "suspend", false},
	{actQuit, everywhere, []string{"q"}, "q", "", "quit", "leave", false},
	{actAbort, everywhere, []string{"ctrl+c"}, "ctrl-c", "", "", "twice: leave now", false},

	{actEditRequest, inRespond, []string{"e"}, "e", "request", "edit-request", "fill in what is asked for; enter plans, which changes nothing", true},
	{actRun, inRespond, []string{"R"}, "R", "run", "run-response", "run the plan, or go on with it (wants the id typed)", true},
	{actCancelRun, inRespond, []string{"X"}, "X", "stop", "stop-response", "stop between two calls (asks)", true},
	{actUndo, inRespond, []string{"U"}, "U", "undo", "undo-response", "bring back what was changed (wants the id typed)", true},

	{actDown, inList, []string{"j", "down"}, "j ↓", "", "", "down", false},
	{actUp, inList, []string{"k", "up"}, "k ↑", "", "", "up", false},
	{actPageDown, inList, []string{"pgdown"}, "pgdn", "", "", "a page down", false},
	{actPageUp, inList, []string{"pgup"}, "pgup", "", "", "a page up", false},
	{actHalfDown, inList, []string{"ctrl+d"}, "ctrl-d", "", "", "half a page down", false},
	{actHalfUp, inList, []string{"ctrl+u"}, "ctrl-u", "", "", "half a page up", false},
	{actFirst, inList, []string{"g", "home"}, "g", "", "first-row", "first row", false},
	{actLast, inList, []string{"G", "end"}, "G", "", "last-row", "last row", false},
	{actOpen, inList, []string{"enter"}, "enter", "open", "", "open: trace of a key, event, instance or address; bytes of a file", false},
	{actDropAll, inList, []string{"E"}, "E", "", "drop-filters", "drop all chips", false},
	{actCopy, inList, []string{"y"}, "y", "copy", "copy", "copy what the row names to the clipboard (OSC 52)", false},
	{actCopyRow, inList, []string{"Y"}, "Y", "", "copy-row", "copy the row as JSON, secrets masked", false},

	{actLeft, inCells, []string{"left", "h"}, "← h", "", "", "column to the left", false},
	{actRight, inCells, []string{"right", "l"}, "→ l", "", "", "column to the right", false},
	{actKeep, inCells, []string{"="}, "=", "keep cell", "keep-cell", "keep rows with this cell's value", false},

	{actMark, inMarks, []string{"space"}, "space", "mark", "mark", "mark the row", false},
	{actRange, inMarks, []string{"v"}, "v", "", "mark-range", "mark from the last mark to here", false},
	{actUnmark, inMarks, []string{`ctrl+\`}, `ctrl-\`, "", "unmark-all", "take all marks away", false},
	{actTag, inMarks, []string{"t"}, "t", "tag", "tag", "tag the marked rows, or this one (1 bad, 2 suspicious, 3 good, or a word); -WORD takes it away", true},
	{actNote, inMarks, []string{"A"}, "A", "note", "note", "write a note about this row", true},

	{actLeft, inTree, []string{"left", "h"}, "← h", "", "", "close the folder", false},
	{actRight, inTree, []string{"right", "l"}, "→ l", "unfold", "", "open the folder", false},

	{actLeft, inHist, []string{"left", "h"}, "← h", "", "", "bucket before", false},
	{actRight, inHist, []string{"right", "l"}, "→ l", "bucket", "", "next bucket", false},
	{actOpen, inHist, []string{"enter"}, "enter", "go there", "", "go to this bucket in the rows", false},
	{actZoomIn, inZoom, []string{"z"}, "z", "zoom", "zoom-in", "zoom in on the time", false},
	{actZoomOut, inZoom, []string{"Z"}, "Z", "", "zoom-out", "zoom out", false},
	{actRangeFrom, inTimes, []string{"("}, "(", "", "range-from", "the range begins here", false},
	{actRangeTo, inTimes, []string{")"}, ")", "", "range-to", "the range ends here", false},
	{actGoTime, inTimes, []string{"@"}, "@", "go to time", "", "go to a time", false},

	{actOffset, inViewer, []string{"@"}, "@", "offset", "go-to-offset", "go to an offset (0x1f40 or 8000)", false},
	{actFind, inViewer, []string{"/"}, "/", "find", "find", "find bytes (hex:ff d8, or text)", false},
	{actFindNext, inViewer, []string{"n"}, "n", "next", "", "next match", false},
	{actFindPrev, inViewer, []string{"N"}, "N", "", "", "match before", false},
	{actDown, inViewer, []string{"j", "down"}, "j ↓", "", "", "down", false},
	{actUp, inViewer, []string{"k", "up"}, "k ↑", "", "", "up", false},
	{actPageDown, inViewer, []string{"pgdown", "ctrl+d"}, "pgdn", "", "", "a page down", false},
	{actPageUp, inViewer, []string{"pgup", "ctrl+u"}, "pgup", "", "", "a page up", false},
	{actFirst, inViewer, []string{"g", "home"}, "g", "", "", "start", false},
	{actLast, inViewer, []string{"G", "end"}, "G", "", "", "end", false},
	{actCopy, inViewer, []string{"y"}, "y", "copy", "", "copy the address", false},

	{actParent, inFiles, []string{"backspace"}, "backspace", "up", "parent", "the folder above", false},
	{actDeleted, inFiles, []string{"D"}, "D", "deleted", "deleted", "deleted entries: shown, hidden, only they", false},
	{actAllKeys, inKeys, []string{"a"}, "a", "logs too", "all-keys", "also the keys that only the logs know", false},
	{actBytes, inKeys, []string{"b"}, "b", "bytes", "bytes", "open the bytes of the first place", false},
	{actForm, inEvents, []string{"f"}, "f", "query", "query", "fill in the query", false},
	{actSubmit, inForm, []string{"enter"}, "enter", "ask", "", "ask for what the form says", false},
	{actDown, inForm, []string{"down"}, "↓", "field", "", "next field", false},
	{actUp, inForm, []string{"up"}, "↑", "", "", "field before", false},
	{actToggle, inForm, []string{"space"}, "space", "switch", "", "turn the switch, or the next choice", false},
	{actSources, inZoom, []string{"s"}, "s", "source", "source", "one source after the other, then all", false},
	{actAcquire, inJobs, []string{"a"}, "a", "acquire", "acquire", "acquire a snapshot, volume, bucket, device, file or folder (asks)", true},
	{actStopAcquire, inJobs, []string{"X"}, "X", "pause", "pause-acquisition", "pause the acquisition of this program (asks)", true},
	{actEvents, withKeys, []string{"c"}, "c", "events", "events", "its events in CloudTrail, as a chip", false},
}

// keymap is the key table of a program: without the writing actions in a
// read-only case.
type keymap []binding

func newKeymap(readOnly bool) keymap {
	if !readOnly {
		return table
	}
	var k keymap
	for _, b := range table {
		if !b.writes {
			k = append(k, b)
		}
	}
	return k
}

// find gives the action of a key in the active scopes.
func (k keymap) find(key string, active []scope) action {
	for _, b := range k {
		if slices.Contains(active, b.in) && slices.Contains(b.keys, key) {
			return b.act
		}
	}
	return actNone
}

// in gives the bindings of the active scopes, in the order of the table.
func (k keymap) in(active []scope) []binding {
	var out []binding
	for _, b := range k {
		if slices.Contains(active, b.in) {
			out = append(out, b)
		}
	}
	return out
}
