package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

type line struct {
	t    time.Time
	text string
}

func syslog(lines []line) string {
	slices.SortStableFunc(lines, func(a, b line) int { return a.t.Compare(b.t) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s web-1 %s\n", l.t.Format("Jan _2 15:04:05"), l.text)
	}
	return b.String()
}

// logs is /var/log: logins, the system, cloud-init, the web server.
func (t *tree) logs() {
	end := at("2026-10-15T08:20:00Z")
	var secure, old, messages []line
	for at := launched.Add(time.Minute); at.Before(end); at = at.Add(time.Duration(20+t.w.r.IntN(300)) * time.Minute) {
		pid := 2000 + t.w.r.IntN(28000)
		l := line{at, fmt.Sprintf("sshd[%d]: Connection closed by invalid user %s 203.0.113.%d port %d [preauth]", pid, t.w.pick("admin", "ubuntu", "oracle", "test", "pi"), 100+t.w.r.IntN(90), 30000+t.w.r.IntN(30000))}
		if at.Before(trailStart.AddDate(0, 0, -2)) {
			old = append(old, l)
		} else {
			secure = append(secure, l)
		}
		messages = append(messages, line{at.Add(7 * time.Second), fmt.Sprintf("systemd[1]: Started session-%d.scope.", pid)}, line{at.Add(91 * time.Second), "chronyd[1811]: Selected source 169.254.169.123"})
	}
	add := func(when, text string) { secure = append(secure, line{at(when), text}) }
	add("2026-10-08T16:09:44Z", "sshd[20918]: Accepted password for marc from 192.0.2.10 port 55102 ssh2")
	add("2026-10-08T16:11:36Z", "sudo[20977]:     marc : TTY=pts/0 ; PWD=/home/marc ; USER=ec2-user ; COMMAND=/usr/bin/aws configure set region eu-central-1")
	add("2026-10-08T16:13:57Z", "sudo[21004]:     marc : TTY=pts/0 ; PWD=/home/marc ; USER=ec2-user ; COMMAND=/usr/bin/tee /home/ec2-user/.aws/credentials")
	for i := range 23 {
		when := at("2026-10-13T23:31:02Z").Add(time.Duration(41*i) * time.Second)
		secure = append(secure, line{when, fmt.Sprintf("sshd[%d]: Failed password for %s from %s port %d ssh2", 24100+3*i, []string{"root", "ec2-user", "marc"}[i%3], badIP, 40100+31*i)})
	}
	add("2026-10-13T23:48:12Z", "sshd[24188]: Accepted password for marc from "+badIP+" port 40918 ssh2")
	add("2026-10-13T23:50:15Z", "sudo[24231]:     marc : TTY=pts/0 ; PWD=/home/marc ; USER=root ; COMMAND=/usr/bin/cat /root/.bash_history")
	add("2026-10-13T23:51:25Z", "sudo[24240]:     marc : TTY=pts/0 ; PWD=/home/marc ; USER=root ; COMMAND=/usr/bin/cat /home/ec2-user/.aws/credentials")
	add("2026-10-13T23:56:18Z", "sshd[24188]: pam_unix(sshd:session): session closed for user marc")
	add("2026-10-14T04:39:02Z", "sshd[25517]: Accepted password for marc from "+badIP+" port 42206 ssh2")
	add("2026-10-14T04:48:09Z", "sshd[25517]: pam_unix(sshd:session): session closed for user marc")
	t.file("/var/log/secure", syslog(secure), at("2026-10-04T03:30:01Z")).own(0, 0o600).touched(secure[len(secure)-1].t)
	t.file("/var/log/messages", syslog(messages), launched).own(0, 0o600).touched(messages[len(messages)-1].t)
	t.file("/var/log/secure-20261004", syslog(old), launched).own(0, 0o600).touched(old[len(old)-1].t).gone(at("2026-10-11T03:30:02Z"))
	var ci strings.Builder
	for i, s := range []string{"init-local/search-Ec2Local: SUCCESS: found local data from DataSourceEc2Local", "init-network/config-ssh: SUCCESS: config-ssh ran successfully", "modules-config/config-package-update-upgrade-install: SUCCESS", "modules-final/config-scripts-user: SUCCESS: config-scripts-user ran successfully"} {
		fmt.Fprintf(&ci, "%s - handlers.py[DEBUG]: finish: %s\n", launched.Add(time.Duration(3+9*i)*time.Second).Format("2006-01-02 15:04:05,000"), s)
	}
	t.file("/var/log/cloud-init.log", ci.String(), launched.Add(39*time.Second))
	t.file("/var/log/cloud-init-output.log", "Cloud-init v. 22.2.2 finished at Mon, 21 Sep 2026 07:12:43 +0000. Datasource DataSourceEc2Local.  Up 41.22 seconds\n", launched.Add(39*time.Second))
	var access strings.Builder
	for at, n := at("2026-10-14T00:00:20Z"), 0; n < 420; n++ {
		fmt.Fprintf(&access, "203.0.113.%d - - [%s] \"GET %s HTTP/2.0\" 200 %d\n", 1+t.w.r.IntN(40), at.Format("02/Jan/2006:15:04:05 -0700"), t.w.pick("/", "/app.js", "/app.css", "/api/health"), 200+t.w.r.IntN(900))
		at = at.Add(time.Duration(30+t.w.r.IntN(480)) * time.Second)
	}
	t.file("/var/log/nginx/access.log", access.String(), at("2026-10-14T00:00:20Z")).own(993, 0o640).touched(end)
	t.file("/var/log/nginx/error.log", "", at("2026-10-14T00:00:02Z")).own(993, 0o640)
	t.file("/var/log/wtmp", string(t.wtmp()), launched).own(0, 0o664).touched(at("2026-10-14T04:48:09Z"))
	for _, d := range []string{"20260927", "20261004", "20261011"} {
		when := at(d[:4] + "-" + d[4:6] + "-" + d[6:] + "T03:30:02Z")
		t.file("/var/log/messages-"+d, syslog([]line{{when.Add(-time.Hour), "systemd[1]: logrotate.timer: Succeeded."}}), when).own(0, 0o600)
	}
}

// wtmp is the login records of glibc: 384 bytes each, little-endian.
func (t *tree) wtmp() []byte {
	var out bytes.Buffer
	put := func(kind int16, pid int32, tty, id, user, host string, when time.Time) {
		b := make([]byte, 384)
		binary.LittleEndian.PutUint16(b, uint16(kind))    //nolint:gosec // small
		binary.LittleEndian.PutUint32(b[4:], uint32(pid)) //nolint:gosec // small
		copy(b[8:40], tty)
		copy(b[40:44], id)
		copy(b[44:76], user)
		copy(b[76:332], host)
		binary.LittleEndian.PutUint32(b[340:], uint32(when.Unix())) //nolint:gosec // before 2106
		out.Write(b)
	}
	put(2, 0, "~", "~~", "reboot", "6.1.112-122.189.amzn2023.x86_64", launched)
	put(7, 20918, "pts/0", "ts/0", "marc", officeIP, at("2026-10-08T16:09:44Z"))
	put(8, 20918, "pts/0", "", "", "", at("2026-10-08T16:14:44Z"))
	put(7, 24188, "pts/0", "ts/0", "marc", badIP, at("2026-10-13T23:48:12Z"))
	put(8, 24188, "pts/0", "", "", "", at("2026-10-13T23:56:18Z"))
	put(7, 25517, "pts/0", "ts/0", "marc", badIP, at("2026-10-14T04:39:02Z"))
	put(8, 25517, "pts/0", "", "", "", at("2026-10-14T04:48:09Z"))
	return out.Bytes()
}
