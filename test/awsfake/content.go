package awsfake

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
)

// plainBody undoes the Content-Encoding of a request, reading at most limit+1
// bytes, so that the caller sees that the limit is passed. The second result
// is nil if nothing was compressed.
func plainBody(r *http.Request, body []byte, limit int) (plain, decoded []byte, err error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return body, nil, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, nil, fmt.Errorf("reading a gzip body: %w", err)
		}
		plain, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
		if err != nil {
			return nil, nil, fmt.Errorf("reading a gzip body: %w", err)
		}
		return plain, plain, nil
	default:
		return nil, nil, fmt.Errorf("content encoding %q is not supported", encoding)
	}
}
