// Package respond preserves and contains an instance on AWS: the eight steps of
// the published way to image a compromised host, as one playbook that can be
// interrupted at any moment and taken back.
//
// # The playbook
//
// Plan works out, from Describe, Get and List calls and DryRun alone, every call
// that Run may make, in order. Run makes no other: that is the promise which the
// tests hold against the service's own journal. The steps are identify, describe,
// protect, group, isolate, credentials, snapshot, mirror, memory, complete, share,
// volume, attach, after; capture-first puts mirror, memory and snapshot before
// group and isolate.
//
// # A call
//
// Calls that change something are data: service, action and parameters by the
// API's own names, in which ${group/closed/vpc-1.GroupId} stands for the GroupId
// that the call group/closed/vpc-1 will have made. What the package knows of each
// action is one line of a table (deeds): how to ask for the state it changes, how
// to tell that it was done, what takes it back.
//
// Each is made between two records of the custody ledger:
//
//	respond.intent  what is about to be sent, the state before, what undoes it
//	respond.call    request id, result, or how it failed
//
// An intent without an outcome means that the call may have been made. Then AWS
// is asked, by name or tag, before anything is repeated; a thing just made is not
// always seen at once, so it is asked for a while. An answer that never came is
// settled the same way. After each call its state is read back.
//
// # Example
//
// A run on one interface leaves in the ledger, among others:
//
//	respond.plan    plan_sha256 of respond/i-0abc…/plan.json
//	respond.intent  group/closed/vpc-1       CreateSecurityGroup, undo DeleteSecurityGroup
//	respond.call    group/closed/vpc-1       done, GroupId sg-0new
//	respond.intent  isolate/eni-1/closed     Groups [sg-0new], before [sg-0web], undo Groups [sg-0web]
//	respond.call    isolate/eni-1/closed     done
//	respond.step    isolate                  ok, "eni-1 holds only sg-0new"
//
// # Undo
//
// Undo replays from the ledger what takes each call back, last first. Of two calls
// that changed the same thing, the state before the first counts. It deletes no
// snapshot and no exhibit, keeps shares, and revives keys and sessions only where
// they are named.
//
// # What stops a run
//
// A call that is refused (a permission, an instance type that cannot) is said, and
// the rest goes on; the run then ends with evidence.ErrGaps. What is not as the
// playbook left it, expired credentials and a ledger that cannot be written stop
// it; the same call goes on.
//
// # What it does not do
//
// It talks to AWS only through Cloud. It does not keep egress open for single
// services, does not abort an upload of memory that was broken off, and does not
// read snapshots: that is acquisition.
package respond
