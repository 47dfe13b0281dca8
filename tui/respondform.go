package tui

import (
	"strings"

	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// formRow is one line of the request: a text, a switch, or a choice.
type formRow struct {
	label visible.Text
	gap   visible.Text // in an empty field
	help  visible.Text
	text  func(f *respondForm) *string
	on    func(o *respond.Options) *bool
	order bool
	only  func(o *respond.Options) bool // it is there only where this holds
}

func withMemory(o *respond.Options) bool { return o.Memory }

// formRows are the main options; the verb has the rest, and a plan that was
// begun with more of them keeps them.
var formRows = []formRow{
	{
		label: visible.Lit("Instance"), gap: visible.Lit("i-…"), help: visible.Lit("The instance to preserve and contain. Enter plans: every call is worked out, and none is made that changes anything."),
		text: func(f *respondForm) *string { return &f.o.Instance },
	},
	{
		label: visible.Lit("Region"), gap: visible.Lit("of the AWS variables"), help: visible.Lit("Region of the instance."),
		text: func(f *respondForm) *string { return &f.region },
	},
	{
		label: visible.Lit("Profile"), gap: visible.Lit("the usual AWS variables"), help: visible.Lit("Profile of ~/.aws/config with the credentials for the instance's account. snapcase policy prints what it must be allowed, snapcase doctor whether it is."),
		text: func(f *respondForm) *string { return &f.profile },
	},
	{
		label: visible.Lit("Share with"), gap: visible.Lit("nobody"), help: visible.Lit("Account that gets the snapshots: twelve digits."),
		text: func(f *respondForm) *string { return &f.o.ShareWith },
	},
	{
		label: visible.Lit("KMS key"), gap: visible.Lit("none"), help: visible.Lit("ARN of the key for copies of snapshots that cannot be shared as they are (those under the default key aws/ebs)."),
		text: func(f *respondForm) *string { return &f.o.KMSKey },
	},
	{
		label: visible.Lit("Cut established"), help: visible.Lit("End the connections that are being tracked, which outlive a change of groups: an open group first, for a moment, then the closed one."),
		on: func(o *respond.Options) *bool { return &o.CutEstablished },
	},
	{
		label: visible.Lit("Revoke role"), help: visible.Lit("Replace the instance profile by one that denies everything, and end the older sessions of its roles, wherever they are used."),
		on: func(o *respond.Options) *bool { return &o.RevokeRole },
	},
	{
		label: visible.Lit("Detach addresses"), help: visible.Lit("Take the Elastic IP addresses off."),
		on: func(o *respond.Options) *bool { return &o.DetachEIP },
	},
	{
		label: visible.Lit("Network ACL"), help: visible.Lit("Cut off the whole subnet at once, neighbours too."),
		on: func(o *respond.Options) *bool { return &o.NACL },
	},
	{
		label: visible.Lit("Disable keys"), gap: visible.Lit("none"), help: visible.Lit("Access keys to make inactive: AKIA…, with commas between them."),
		text: func(f *respondForm) *string { return &f.keys },
	},
	{
		label: visible.Lit("Order"), help: visible.Lit("auto captures memory and traffic first where they are asked for, since an isolated host gives neither; otherwise it contains first."), order: true,
	},
	{
		label: visible.Lit("Memory"), help: visible.Lit("Take memory through SSM with AVML, by parts that are uploaded to a bucket."),
		on: func(o *respond.Options) *bool { return &o.Memory },
	},
	{
		label: visible.Lit("  bucket"), gap: visible.Lit("needed"), help: visible.Lit("Bucket that takes the memory image."), only: withMemory,
		text: func(f *respondForm) *string { return &f.o.MemoryBucket },
	},
	{
		label: visible.Lit("  AVML"), gap: visible.Lit("needed"), help: visible.Lit("Object of that bucket with the AVML binary."), only: withMemory,
		text: func(f *respondForm) *string { return &f.o.AVML },
	},
	{
		label: visible.Lit("  SHA-256"), gap: visible.Lit("needed"), help: visible.Lit("Its SHA-256: nothing else is run on the instance."), only: withMemory,
		text: func(f *respondForm) *string { return &f.o.AVMLSHA256 },
	},
}

// orders are the choices of the order.
var orders = []string{"auto", respond.ContainFirst, respond.CaptureFirst}

// respondForm is the request as the examiner fills it in.
type respondForm struct {
	o               respond.Options
	region, profile string
	keys            string
	at              int
	field           widget.Field // of the row at, where that is a text
}

// fill sets the form to options that were used before.
func (f *respondForm) fill(o respond.Options, region string) {
	f.o, f.region, f.keys = o, region, strings.Join(o.DisableKeys, ", ")
	f.stand(0)
}

// leave takes over what stands in the field of the row.
func (f *respondForm) leave() {
	if t := formRows[f.at].text; t != nil {
		*t(f) = strings.TrimSpace(f.field.String())
	}
}

func (f *respondForm) stand(row int) {
	f.at = row
	if t := formRows[row].text; t != nil {
		f.field.Set(*t(f))
	}
}

// move goes to the next or previous row that is there.
func (f *respondForm) move(by int) {
	f.leave()
	at := f.at
	for {
		at = (at + by + len(formRows)) % len(formRows)
		if o := formRows[at].only; o == nil || o(&f.o) {
			break
		}
	}
	f.stand(at)
}

// toggle turns the switch of the row, or goes to the next choice.
func (f *respondForm) toggle() {
	r := formRows[f.at]
	switch {
	case r.on != nil:
		*r.on(&f.o) = !*r.on(&f.o)
	case r.order:
		for i, n := range orders {
			if n == f.order() {
				f.o.Order = orders[(i+1)%len(orders)]
				return
			}
		}
	}
}

func (f *respondForm) order() string {
	if f.o.Order == "" {
		return orders[0]
	}
	return f.o.Order
}

// focused is the field that has the keys; nil on a switch.
func (f *respondForm) focused() *widget.Field {
	if formRows[f.at].text == nil {
		return nil
	}
	return &f.field
}

// read is the request. What belongs to memory is left out without it.
func (f *respondForm) read() respond.Options {
	f.leave()
	o := f.o
	o.DisableKeys = strings.FieldsFunc(f.keys, func(r rune) bool { return r == ',' || r == ' ' })
	if !o.Memory {
		o.MemoryBucket, o.AVML, o.AVMLSHA256 = "", "", ""
	}
	o.Order = f.order()
	return o
}

// draw is a row a line, what the row is for below.
func (f *respondForm) draw(c widget.Canvas, focused bool) {
	w, h := c.Size()
	const left = 19
	y := 0
	for i, r := range formRows {
		if r.only != nil && !r.only(&f.o) {
			continue
		}
		on := focused && i == f.at
		role := widget.Label
		if on {
			role = widget.Focus
			c.Text(0, y, 1, role, visible.Lit("▸"))
		}
		c.Text(2, y, left-2, role, r.label)
		f.value(c, y, left, w-left-1, i, on)
		y++
	}
	help := widget.Wrap(formRows[f.at].help, max(w-3, 1))
	y = max(y+1, h-len(help)-2)
	for i, t := range help {
		c.Text(2, y+i, w-3, widget.Normal, t)
	}
	c.Text(2, h-1, w-3, widget.Dim, visible.Lit("enter plans   ↑ ↓ rows   space switches"))
}

// value draws what a row holds.
func (f *respondForm) value(c widget.Canvas, y, x, room, row int, on bool) {
	r := formRows[row]
	switch {
	case r.on != nil:
		sign, role := visible.Lit("[ ]"), widget.Dim
		if *r.on(&f.o) {
			sign, role = visible.Lit("[x]"), widget.OK
		}
		c.Text(x, y, room, role, sign)
	case r.order:
		c.Text(x, y, room, widget.Normal, visible.Sprintf("‹%s›", f.order()))
	case on:
		f.field.Draw(c, x, y, room, true)
	case *r.text(f) == "":
		c.Text(x, y, room, widget.Gap, r.gap)
	default:
		c.Text(x, y, room, widget.Normal, visible.Escape(*r.text(f)))
	}
}

// respondLine is the command of a verb. Words that a shell would read otherwise
// are quoted.
func respondLine(verb string, o respond.Options, region, profile string) visible.Text {
	words := []string{"snapcase", "respond", verb, "CASE", "--instance", o.Instance}
	text := func(flag, v string) {
		if v != "" {
			words = append(words, flag, v)
		}
	}
	yes := func(flag string, v bool) {
		if v {
			words = append(words, flag)
		}
	}
	text("--region", region)
	text("--profile", profile)
	if verb == "plan" || verb == "run" {
		respondFlags(&o, text, yes)
	}
	var out []visible.Text
	for _, x := range words {
		out = append(out, visible.Escape(quoted(x)))
	}
	return visible.Join(" ", out...)
}

// respondFlags are the options of a plan as flags.
func respondFlags(o *respond.Options, text func(flag, v string), yes func(flag string, v bool)) {
	text("--share-with", o.ShareWith)
	text("--kms-key", o.KMSKey)
	yes("--cut-established", o.CutEstablished)
	yes("--revoke-role", o.RevokeRole)
	yes("--detach-eip", o.DetachEIP)
	yes("--nacl", o.NACL)
	text("--disable-key", strings.Join(o.DisableKeys, ","))
	if o.DenyProfile != "snapcase-deny" {
		text("--deny-profile", o.DenyProfile)
	}
	yes("--memory", o.Memory)
	text("--memory-bucket", o.MemoryBucket)
	text("--avml", o.AVML)
	text("--avml-sha256", o.AVMLSHA256)
	text("--mirror", o.Mirror)
	yes("--with-volume", o.WithVolume)
	text("--host-instance", o.HostInstance)
	if o.Lock > 0 {
		text("--lock", visible.Sprintf("%d", o.Lock).String())
	}
	if o.Order != "auto" {
		text("--order", o.Order)
	}
	text("--only", strings.Join(o.Only, ","))
	text("--skip", strings.Join(o.Skip, ","))
}

// quoted is a word as a shell reads it.
func quoted(s string) string {
	plain := s != ""
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=@+", r) {
			plain = false
		}
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
