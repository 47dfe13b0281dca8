// Package digest validates the digest chains of CloudTrail, offline: that log
// files are those that were delivered, none changed and none taken away.
//
// # What is followed
//
// The CloudTrail user guide on log file integrity validation
// (https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
// and …-custom-validation.html), and where it says nothing, validation.py of
// aws-cli. Every hour CloudTrail delivers a digest, which lists the log files of
// that hour with the SHA-256 of their unpacked text and holds hash and signature
// of the digest before it. What is signed, RSASSA-PKCS1-v1_5 over SHA-256, is
// the text
//
//	2015-08-17T15:01:31Z
//	bucket/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/111122223333_CloudTrail-Digest_us-east-2_trail_us-east-2_20150817T150131Z.json.gz
//	f1e2…                      SHA-256 of the unpacked digest, hexadecimal
//	6a7b…                      signature of the digest before it, or the word null
//
// with a line feed between, and none at its end. The signature is metadata of
// the object; a digest that lost it can still be proved by the digest after it.
//
// # What a result means
//
// valid: each digest has a signature that holds under a public key that was
// given, the digests follow one another, and every log file has what they list.
// It says nothing of the time before the first digest and after the last, and is
// worth no more than the keys: the result names where they came from. What could
// not be checked for want of key, signature or digest is counted as unproved and
// makes the result incomplete; it is never valid. A digest that is not proved
// proves nothing about its log files.
//
//	             one digest                              its log files
//	broken       not what was signed, moved, unlinked    unproved
//	unproved     no key, or no signature                 unproved
//	proved                                               compared, one by one
//
// # Beyond aws-cli
//
// The hash and signature of the digest before are compared; bytes behind the
// gzip stream are found; every missing hour is named; a signed digest that the
// chain passes over is found; log files that no digest lists are named; every
// copy of a file is looked at, not the first one.
//
// # Limits
//
// A digest unpacks to at most 64 MiB. In memory are the names of all files and
// about 2 KB a digest; log files are streamed.
//
// # What is not done
//
// Nothing is asked of AWS. The public keys are believed to be those of AWS: that
// a fingerprint belongs to CloudTrail cannot be seen offline. Log files are not
// parsed.
package digest
