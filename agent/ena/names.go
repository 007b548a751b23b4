package ena

import "bytes"

// splitNames cuts the answer to ETHTOOL_GSTRINGS into names: fields of
// ethGStringLen bytes, each ended by a NUL or by the field's end.
func splitNames(fields []byte) []string {
	names := make([]string, 0, len(fields)/ethGStringLen)
	for ; len(fields) >= ethGStringLen; fields = fields[ethGStringLen:] {
		f := fields[:ethGStringLen]
		if end := bytes.IndexByte(f, 0); end >= 0 {
			f = f[:end]
		}
		names = append(names, string(f))
	}
	return names
}
