package compact

// AppendFlags appends a set of flags of a fixed width in bits, at most 64. The
// width, not the value, decides how many bytes are used: one below 8 bits, else a
// marker and 2, 4 or 8 bytes. It is not the form of flag fields in protocol
// messages, which are plain Uints.
func AppendFlags(b []byte, width int, flags uint64) []byte {
	switch {
	case width < 8:
		return append(b, byte(flags))
	case width <= 16:
		return AppendUint16(append(b, 0xfd), uint16(flags))
	case width <= 32:
		return AppendUint32(append(b, 0xfe), uint32(flags))
	default:
		return AppendUint64(append(b, 0xff), flags)
	}
}

// Flags reads what [AppendFlags] writes. The width must be that of the field; the
// bytes say themselves how many they are.
func (r *Reader) Flags(width int) uint64 {
	var flags uint64
	switch c := r.Byte(); c {
	case 0xfd:
		flags = uint64(r.Uint16())
	case 0xfe:
		flags = uint64(r.Uint32())
	case 0xff:
		flags = r.Uint64()
	default:
		flags = uint64(c)
	}
	if width <= 8 {
		flags &= 0xff
	}
	return flags
}
