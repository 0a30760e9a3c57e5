// Package link reads and writes cloudpal:// links to what is no drive: a kind, such
// as "invite", and bytes in z-base-32. What the bytes mean is their owner's matter;
// they are secrets, mostly.
//
// People copy links from mails and type them from paper, so reading is lenient about
// case, spaces, line breaks and brackets, and a link without its beginning will do.
//
// Links are described in docs/formats/links.md.
package link
