package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// node is one entry of the root file system.
type node struct {
	path       string
	kind       byte // d directory, f file, l symbolic link, h hard link
	content    []byte
	target     string
	sparse     int64 // length of a file with holes: content at the start and at the end
	perm       uint32
	uid, gid   int
	a, m, c, b time.Time
	removed    time.Time // set: the entry is deleted at this time
}

// tree collects nodes; directories appear with their first entry.
type tree struct {
	w     *world
	nodes []*node
	byDir map[string]*node
}

var (
	built    = at("2026-08-18T03:14:22Z") // the AMI
	launched = at("2026-09-21T07:12:04Z") // the instance
)

func (t *tree) dir(p string, when time.Time, perm uint32, uid int) *node {
	if p == "/" {
		return nil
	}
	if n := t.byDir[p]; n != nil {
		return n
	}
	t.dir(path.Dir(p), when, 0o755, 0)
	n := &node{path: p, kind: 'd', perm: perm, uid: uid, gid: uid, a: when, m: when, c: when, b: when}
	t.byDir[p] = n
	t.nodes = append(t.nodes, n)
	return n
}

// file adds a file made and last written at when; the directory's mtime
// follows as it would.
func (t *tree) file(p, content string, when time.Time) *node {
	d := t.dir(path.Dir(p), when, 0o755, 0)
	if d != nil && when.After(d.m) {
		d.m, d.c = when, when
	}
	when = when.Add(time.Duration(t.w.r.IntN(999_999_999)))
	n := &node{path: p, kind: 'f', content: []byte(content), perm: 0o644, a: when, m: when, c: when, b: when}
	t.nodes = append(t.nodes, n)
	return n
}

func (t *tree) link(p, target string, when time.Time) {
	n := t.file(p, "", when)
	n.kind, n.target, n.perm = 'l', target, 0o777
}

func (n *node) own(uid int, perm uint32) *node { n.uid, n.gid, n.perm = uid, uid, perm; return n }

// touched sets when the content was last written, the inode last changed.
func (n *node) touched(m time.Time) *node {
	n.m, n.c = m, m
	if n.a.Before(m) {
		n.a = m
	}
	return n
}

func (n *node) read(a time.Time) *node  { n.a = a; return n }
func (n *node) gone(at time.Time) *node { n.c, n.removed = at, at; return n }

// disk writes the file contents and the debugfs scripts of the root volume.
func (w *world) disk(out string, facts map[string]any) {
	t := &tree{w: w, byDir: map[string]*node{}}
	t.system()
	t.logs()
	t.homes(facts)
	t.odd()
	src := filepath.Join(out, "tree")
	var script strings.Builder
	deleted := map[string][]*node{}
	for i, n := range t.nodes {
		n.script(&script, src, i, w)
		if !n.removed.IsZero() {
			deleted[fmt.Sprint(n.removed.Unix())] = append(deleted[fmt.Sprint(n.removed.Unix())], n)
		}
	}
	// Times last: making an entry touches its directory.
	for _, n := range t.nodes {
		n.times(&script)
	}
	for _, s := range []string{"mtime @1789974725", "mnt_count 3", "last_mounted /", "kbytes_written 918443"} {
		fmt.Fprintf(&script, "ssv %s\n", s)
	}
	write(filepath.Join(out, "fill.debugfs"), []byte(script.String()))
	var gone []map[string]any
	for _, when := range sorted(deleted) {
		var b strings.Builder
		for _, n := range deleted[when] {
			fmt.Fprintf(&b, "rm \"%s\"\n", n.path)
			gone = append(gone, obj{"path": n.path, "deleted_at": stamp(n.removed), "size": len(n.content)})
		}
		write(filepath.Join(out, "rm-"+when+".debugfs"), []byte(b.String()))
	}
	files := 0
	for _, n := range t.nodes {
		if n.kind != 'd' {
			files++
		}
	}
	facts["disk"] = obj{"root_volume": "p2", "efi_volume": "p1", "entries": len(t.nodes), "directories": len(t.nodes) - files, "deleted": gone}
}

func (n *node) script(b *strings.Builder, src string, i int, w *world) {
	switch n.kind {
	case 'd':
		fmt.Fprintf(b, "mkdir \"%s\"\n", n.path)
	case 'l':
		fmt.Fprintf(b, "symlink \"%s\" \"%s\"\n", n.path, n.target)
	case 'h':
		fmt.Fprintf(b, "ln \"%s\" \"%s\"\nsif \"%s\" links_count 2\n", n.target, n.path, n.path)
	default:
		name := filepath.Join(src, fmt.Sprintf("%04d", i))
		write(name, n.content)
		if n.sparse > 0 {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(n.content, n.sparse-int64(len(n.content)))
			}
			if err != nil || f.Close() != nil {
				panic(err)
			}
		}
		fmt.Fprintf(b, "write \"%s\" \"%s\"\n", name, n.path)
	}
	if n.kind == 'f' || n.kind == 'l' {
		// The checksum of a directory's blocks holds its generation, so only
		// these get one of their own.
		fmt.Fprintf(b, "sif \"%s\" generation %d\n", n.path, w.r.Uint32())
	}
}

func (n *node) times(b *strings.Builder) {
	if n.kind == 'h' {
		return
	}
	set := func(field string, v any) { fmt.Fprintf(b, "sif \"%s\" %s %v\n", n.path, field, v) }
	bits := map[byte]uint32{'d': 0o040000, 'f': 0o100000, 'l': 0o120000}[n.kind]
	set("mode", fmt.Sprintf("0%o", bits|n.perm))
	if n.uid != 0 {
		set("uid", n.uid)
		set("gid", n.gid)
	}
	for _, x := range []struct {
		name string
		t    time.Time
	}{{"atime", n.a}, {"mtime", n.m}, {"ctime", n.c}, {"crtime", n.b}} {
		set(x.name, fmt.Sprintf("@%d", x.t.Unix()))
		set(x.name+"_extra", x.t.Nanosecond()<<2)
	}
}

// system is what the machine image brought and what its first boot made.
func (t *tree) system() {
	for _, f := range [][2]string{
		{"/etc/system-release", "Amazon Linux release 2023.6.20260818 (Amazon Linux)\n"},
		{"/etc/os-release", "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\nPLATFORM_ID=\"platform:al2023\"\nPRETTY_NAME=\"Amazon Linux 2023.6.20260818\"\nANSI_COLOR=\"0;33\"\nCPE_NAME=\"cpe:2.3:o:amazon:amazon_linux:2023\"\n"},
		{"/etc/fstab", "UUID=7c0d4a4e-9b0e-4f6a-9d53-21a6f0e5b2c4 / ext4 defaults,noatime 1 1\nUUID=5A17-CA5E /boot/efi vfat defaults,noatime,uid=0,gid=0,umask=0077,shortname=winnt,x-systemd.automount 0 2\n"},
		{"/etc/ssh/sshd_config", "Port 22\nPermitRootLogin no\nPasswordAuthentication yes\nAuthorizedKeysFile .ssh/authorized_keys\nUsePAM yes\nX11Forwarding no\nSubsystem sftp /usr/libexec/openssh/sftp-server\n"},
		{"/etc/profile", "# /etc/profile\nPATH=/usr/local/bin:/usr/bin:/bin\nexport PATH\nHISTTIMEFORMAT='%F %T '\nexport HISTTIMEFORMAT\n"},
		{"/etc/hosts", "127.0.0.1   localhost localhost.localdomain\n::1         localhost6 localhost6.localdomain6\n"},
		{"/etc/sudoers", "root ALL=(ALL) ALL\n%wheel ALL=(ALL) NOPASSWD: ALL\n#includedir /etc/sudoers.d\n"},
		{"/etc/sudoers.d/90-cloud-init-users", "ec2-user ALL=(ALL) NOPASSWD:ALL\n"},
		{"/etc/crontab", "SHELL=/bin/bash\nPATH=/sbin:/bin:/usr/sbin:/usr/bin\nMAILTO=root\n17 * * * * root run-parts /etc/cron.hourly\n"},
		{"/etc/nginx/nginx.conf", "user nginx;\nworker_processes auto;\nerror_log /var/log/nginx/error.log;\nhttp {\n  include /etc/nginx/mime.types;\n  server { listen 443 ssl; root /srv/www/current; }\n}\n"},
		{"/etc/resolv.conf", "search eu-central-1.compute.internal\nnameserver 10.20.0.2\n"},
		{"/usr/lib/os-release", "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\n"},
	} {
		t.file(f[0], f[1], built).b = built
	}
	for i, s := range []string{"amazon-ssm-agent", "auditd", "chronyd", "cloud-config", "cloud-final", "cloud-init-local", "cloud-init", "crond", "dbus-broker", "getty@", "nginx", "sshd", "systemd-journald", "systemd-logind", "systemd-networkd", "systemd-resolved", "web-app", "webhook"} {
		t.file("/usr/lib/systemd/system/"+s+".service", fmt.Sprintf("[Unit]\nDescription=%s\nAfter=network.target\n\n[Service]\nExecStart=/usr/sbin/%s\nRestart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n", s, s), built.Add(-time.Duration(i*31)*time.Hour)).b = built
	}
	for i, p := range []string{"bash", "coreutils", "curl", "glibc", "gzip", "nginx", "nodejs", "openssh", "openssl", "pam", "python3", "sed", "sudo", "systemd", "tar", "util-linux", "vim-minimal", "xz", "zlib", "zstd"} {
		old := built.Add(-time.Duration(900+i*77) * time.Hour)
		for _, d := range []string{"COPYING", "README", "NEWS"} {
			t.file("/usr/share/doc/"+p+"/"+d, strings.Repeat(fmt.Sprintf("%s: %s of the package, version %d.%d\n", p, d, 1+i%5, i), 4+i), old).b = built
		}
	}
	for _, b := range []string{"aws", "bash", "cat", "curl", "grep", "less", "ls", "node", "ps", "python3.11", "scp", "ssh", "sudo", "tar", "vi", "wget"} {
		n := t.file("/usr/bin/"+b, "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 9)+"\x03\x00\x3e\x00"+strings.Repeat(b+"\x00", 120), built.Add(-700*time.Hour))
		n.b, n.perm = built, 0o755
		if b == "sudo" {
			n.perm = 0o4111
		}
	}
	t.link("/bin", "usr/bin", built)
	t.link("/usr/bin/python3", "python3.11", built)
	t.link("/usr/bin/sh", "bash", built)
	t.link("/etc/localtime", "../usr/share/zoneinfo/UTC", built)
	t.file("/usr/share/zoneinfo/UTC", "TZif2"+strings.Repeat("\x00", 39)+"\nUTC0\n", built)
	t.firstBoot()
}

// firstBoot is cloud-init's work and what was installed since.
func (t *tree) firstBoot() {
	b := launched
	for _, d := range []string{"/boot/efi", "/dev", "/proc", "/sys", "/run", "/mnt", "/root"} {
		t.dir(d, built, 0o755, 0)
	}
	t.file("/etc/hostname", "web-1\n", b.Add(6*time.Second))
	t.file("/etc/machine-id", t.w.hex(32)+"\n", b)
	t.file("/etc/passwd", passwd, at("2026-09-28T09:31:10Z")).b = built
	t.file("/etc/passwd-", strings.Join(strings.SplitAfter(passwd, "\n")[:8], ""), b.Add(9*time.Second))
	t.file("/etc/group", "root:x:0:\nwheel:x:10:ec2-user,marc\nnginx:x:993:\nec2-user:x:1000:\nmarc:x:1001:\n", at("2026-09-28T09:31:10Z"))
	t.file("/etc/shadow", "root:*:20683:0:99999:7:::\nec2-user:!!:20717:0:99999:7:::\nmarc:!!:20724:0:99999:7:::\n", at("2026-09-28T09:31:24Z")).own(0, 0)
	for _, k := range []string{"ecdsa", "ed25519"} {
		t.file("/etc/ssh/ssh_host_"+k+"_key.pub", "ssh-"+k+" AAAAC3NzaC1lZDI1NTE5AAAAI"+t.w.secretKey()+" \n", b.Add(11*time.Second))
	}
	id := t.w.web.id
	base := "/var/lib/cloud/instances/" + id
	t.file(base+"/user-data.txt", "#cloud-config\nhostname: web-1\npackages: [nginx, nodejs]\nruncmd:\n  - [systemctl, enable, --now, nginx]\n", b.Add(4*time.Second)).own(0, 0o600)
	t.file(base+"/vendor-data.txt", "", b.Add(4*time.Second)).own(0, 0o600)
	t.file(base+"/datasource", "DataSourceEc2: DataSourceEc2Local\n", b.Add(5*time.Second))
	t.file(base+"/boot-finished", "41.22 - Mon, 21 Sep 2026 07:12:43 +0000 - v. 22.2.2\n", b.Add(39*time.Second))
	t.link("/var/lib/cloud/instance", "/var/lib/cloud/instances/"+id, b.Add(4*time.Second))
	t.file("/var/lib/cloud/data/instance-id", id+"\n", b.Add(4*time.Second))
	t.file("/var/lib/cloud/data/previous-instance-id", "NO_PREVIOUS_INSTANCE_ID\n", b.Add(4*time.Second))
	for r, when := range []time.Time{at("2026-09-22T14:03:00Z"), at("2026-10-02T11:47:00Z"), at("2026-10-09T13:20:00Z")} {
		dir := fmt.Sprintf("/srv/www/releases/%s", when.Format("20060102150405"))
		for i, f := range []string{"index.html", "app.js", "app.css", "favicon.svg", "robots.txt", "manifest.json", "server.js", "package.json"} {
			t.file(dir+"/"+f, strings.Repeat(fmt.Sprintf("/* %s r%d */ ", f, r), 20+9*i)+"\n", when.Add(time.Duration(i)*time.Second)).own(993, 0o644)
		}
		for i := range 24 {
			t.file(fmt.Sprintf("%s/assets/chunk-%s.js", dir, t.w.hex(8)), strings.Repeat(fmt.Sprintf("export const v%d=%d;", i, r), 30+i), when.Add(time.Duration(8+i)*time.Second)).own(993, 0o644)
		}
		if r == 2 {
			t.link("/srv/www/current", dir, when.Add(40*time.Second))
		}
	}
	cache := t.file("/var/lib/web/cache.db", "SQLite format 3\x00"+strings.Repeat("page", 60), at("2026-10-15T07:58:12Z")).own(993, 0o640)
	cache.sparse, cache.b = 6<<20, at("2026-09-22T14:05:30Z")
}

const passwd = `root:x:0:0:root:/root:/bin/bash
bin:x:1:1:bin:/bin:/sbin/nologin
daemon:x:2:2:daemon:/sbin:/sbin/nologin
nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin
sshd:x:74:74:Privilege-separated SSH:/usr/share/empty.sshd:/sbin/nologin
chrony:x:997:996:chrony system user:/var/lib/chrony:/sbin/nologin
nginx:x:993:993:Nginx web server:/var/lib/nginx:/sbin/nologin
ec2-user:x:1000:1000:EC2 Default User:/home/ec2-user:/bin/bash
marc:x:1001:1001:Marc (intern until 2026-12):/home/marc:/bin/bash
`

// homes are the users: where the key lies, and where it was deleted.
func (t *tree) homes(facts map[string]any) {
	w, b := t.w, launched.Add(8*time.Second)
	t.dir("/home", built, 0o755, 0)
	t.dir("/home/ec2-user", b, 0o700, 1000)
	rc := "# .bashrc\n[ -f /etc/bashrc ] && . /etc/bashrc\nexport HISTTIMEFORMAT='%F %T '\n"
	for _, f := range []string{".bashrc", ".bash_profile", ".bash_logout"} {
		t.file("/home/ec2-user/"+f, rc, b).own(1000, 0o644)
	}
	t.dir("/home/ec2-user/.ssh", b, 0o700, 1000)
	t.file("/home/ec2-user/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"+w.secretKey()+" deploy@acme\n", b).own(1000, 0o600)
	saved, read := at("2026-10-08T16:13:57Z"), at("2026-10-13T23:51:25.204877391Z")
	t.dir("/home/ec2-user/.aws", saved.Add(-141*time.Second), 0o755, 1000)
	t.file("/home/ec2-user/.aws/config", "[default]\nregion = "+homeRegion+"\noutput = json\n", saved.Add(-141*time.Second)).own(1000, 0o600)
	cred := t.file("/home/ec2-user/.aws/credentials", "[default]\naws_access_key_id = "+w.keyID+"\naws_secret_access_key = "+w.secret+"\n", saved).own(1000, 0o600)
	cred.read(read)
	facts["credentials"] = obj{"path": cred.path, "modified": stamp(saved), "read": stamp(read)}
	t.file("/home/ec2-user/.bash_history", history(at("2026-10-05T09:02:11Z"), 37*time.Minute,
		"sudo systemctl status nginx", "sudo journalctl -u web-app --since today", "cd /srv/www/current", "ls -la", "df -h", "sudo dnf check-update", "exit"), at("2026-10-05T13:20:40Z")).own(1000, 0o600)

	m := at("2026-09-28T09:31:10Z")
	t.dir("/home/marc", m, 0o700, 1001)
	for _, f := range []string{".bashrc", ".bash_profile", ".bash_logout"} {
		t.file("/home/marc/"+f, rc, m).own(1001, 0o644)
	}
	t.file("/home/marc/Übergabe – Notizen.md", "# Notizen\n- Deploy geht jetzt über den Build-Server\n- AWS CLI auf web-1 eingerichtet (Ticket 4417)\n", at("2026-10-09T15:02:19Z")).own(1001, 0o644)
	t.file("/home/marc/写真.txt", "社員旅行\n", at("2026-10-02T12:08:55Z")).own(1001, 0o644)
	hist := history(at("2026-10-08T16:10:02Z"), 47*time.Second,
		"id ec2-user", "aws --version", "sudo -u ec2-user aws configure set region "+homeRegion,
		"export AWS_ACCESS_KEY_ID="+w.keyID, "export AWS_SECRET_ACCESS_KEY="+w.secret,
		`printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" | sudo -u ec2-user tee /home/ec2-user/.aws/credentials >/dev/null`, "exit") +
		history(at("2026-10-13T23:49:05Z"), 35*time.Second, "id", "cat ~/.bash_history", "sudo cat /root/.bash_history", "ls -la /home/*/.aws", "sudo cat /home/ec2-user/.aws/credentials", "curl -s ifconfig.example", "w", "exit")
	gone := at("2026-10-14T04:47:31Z")
	h := t.file("/home/marc/.bash_history", hist, at("2026-10-08T16:14:44Z")).own(1001, 0o600)
	h.touched(at("2026-10-13T23:56:18Z")).gone(gone)
	d := t.byDir["/home/marc"]
	d.m, d.c = gone, gone
	facts["deleted_history"] = obj{"path": h.path, "deleted_at": stamp(gone)}
}

func history(t time.Time, gap time.Duration, lines ...string) string {
	var b strings.Builder
	for i, l := range lines {
		fmt.Fprintf(&b, "#%d\n%s\n", t.Add(time.Duration(i)*gap).Unix(), l)
	}
	return b.String()
}

// odd are names that try to speak to the terminal, and what else lay in /tmp.
func (t *tree) odd() {
	when := at("2026-10-14T04:41:07Z")
	d := t.dir("/tmp", built, 0o1777, 0)
	for i, name := range []string{"\x1b]0;root@web-1\x07\x1b[2J\x1b[1;1Hall clear", "invoice_\u202egnp.sh", "caf\xe9.txt"} {
		t.file("/tmp/"+name, "#!/bin/sh\n:\n", when.Add(time.Duration(i*71)*time.Second)).own(1001, 0o755)
	}
	n := t.file("/tmp/.cache.tgz", "\x1f\x8b\x08\x00"+string(t.w.bytes(2900)), at("2026-10-13T23:54:02Z")).own(1001, 0o600)
	n.gone(at("2026-10-14T04:47:12Z"))
	d.m, d.c = n.removed, n.removed
	t.nodes = append(t.nodes, &node{path: "/usr/bin/pkexec.orig", kind: 'h', target: "/usr/bin/sudo"})
}
