package visible

import (
	"errors"
	"testing"
	"unicode"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"日本語 ünïcödé":                "日本語 ünïcödé",
		"\x1b]52;c;aGk=\x07":         "␛]52;c;aGk=␇",
		"\x1b[31mred":                "␛[31mred",
		"a\nb\rc\td\be":              "a␊b␍c␉d␈e",
		"\u009b31m":                  "‹U+009B›31m",
		"\x9b31m":                    `‹\x9b›31m`,
		"inv\u202efdp.exe":           "inv‹U+202E›fdp.exe",
		"a‹b›":                       "a‹‹b››",
		"␛":                          "‹U+241B›",
		"e\u0301\u0301\u0301":        "e\u0301\u0301‹U+0301›",
		"\U0001f469\u200d\U0001f4bb": "‹U+1F469›‹U+200D›‹U+1F4BB›",
		"\u00a0\u3000\ufeff\x7f":     "‹U+00A0›‹U+3000›‹U+FEFF›␡",
	} {
		got := Escape(in)
		if got.String() != want {
			t.Errorf("Escape(%q) is %q, want %q", in, got, want)
		}
		if got.Changed() != (in != want) {
			t.Errorf("Escape(%q): changed is %v", in, got.Changed())
		}
	}
}

func TestSprintf(t *testing.T) {
	got := Sprintf("%s is %d of %s, %v", "a\x1bb", 7, Lit("x"), errors.New("no \u202e"))
	if want := "a␛b is 7 of x, no ‹U+202E›"; got.String() != want || !got.Changed() {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Sprintf("%5d %-4s|", 12, "ab"); got.String() != "   12 ab  |" || got.Changed() {
		t.Errorf("got %q", got)
	}
}

// TestLeadingMark: a mark that opens the text would sit on what stands before.
func TestLeadingMark(t *testing.T) {
	if got := Escape("\u0301a").String(); got != "‹U+0301›a" {
		t.Errorf("got %q", got)
	}
}

// TestEveryRune: every rune and every byte comes back and leaves nothing that
// a terminal would act on.
func TestEveryRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		s := string(r)
		e := Escape("x" + s)
		if Unescape(e) != "x"+s {
			t.Fatalf("%U came back as %q", r, Unescape(e))
		}
		for _, q := range e.String() {
			if unicode.IsControl(q) || unicode.In(q, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) {
				t.Fatalf("%U left %U", r, q)
			}
		}
	}
	for b := range 256 {
		s := string([]byte{'x', byte(b)})
		if Unescape(Escape(s)) != s {
			t.Fatalf("byte %#x came back as %q", b, Unescape(Escape(s)))
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[2J", "\u202e", "‹U+202E›", "‹‹", "›", "\xff\xfe", "e\u0301\u0301\u0301", "␛", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if e.Changed() != (e.String() != s) {
			t.Fatalf("%q: changed is %v for %q", s, e.Changed(), e)
		}
		if back := Unescape(e); back != s {
			t.Fatalf("%q became %q and came back as %q", s, e, back)
		}
		for _, r := range e.String() {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
				t.Fatalf("%q: %U reached the screen in %q", s, r, e)
			}
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	for name, s := range map[string]string{"plain": "home/ec2-user/.aws/credentials", "hostile": "\x1b]0;x\x07inv\u202efdp.exe"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Escape(s)
			}
		})
	}
}
