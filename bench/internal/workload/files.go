package workload

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

const (
	smallFile      = 4096
	filesPerFolder = 200
)

// Files is a folder of generated files.
type Files struct {
	// Key is the last byte of the AES key; the others are zero.
	Key byte
	// Size is the sum of all sizes in bytes. Without Name it is a multiple of
	// 4096.
	Size int64
	// Name is that of the only file. Empty means files of 4096 bytes in folders of
	// 200: dDDD/fNNNNN.bin.
	Name string
	// SHA256 is that of all contents in the order of paths, in hex; "" if it is
	// not known.
	SHA256 string
}

// The folders that the goals name.
var (
	One  = Files{Key: 1, Size: 1 << 30, Name: "big.bin", SHA256: "768971af0b4c0f6f216f9a704928fea86881296a930ceac29ea55becb66c23c4"}
	Many = Files{Key: 2, Size: 20000 * smallFile, SHA256: "c9046f0cf0a2b85a1c3cdba708ae579ac1d3e1b03cfa8b6fad98c019c31f68b7"}
	Edit = Files{Key: 3, Size: 64 << 20, Name: "file.bin", SHA256: "65b67b870570a2278077791f33d249dc8551b84c21e7bec12de8761a45408a45"}
)

// Resized returns the same folder with another size, whose hash is not known.
func (f Files) Resized(size int64) Files {
	f.Size, f.SHA256 = size, ""
	return f
}

// Count returns the number of files.
func (f Files) Count() int64 {
	if f.Name != "" {
		return 1
	}
	return f.Size / smallFile
}

// Reader returns all contents in the order of paths.
func (f Files) Reader() (io.Reader, error) {
	var key, iv [16]byte
	key[15] = f.Key
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return io.LimitReader(&cipher.StreamReader{S: cipher.NewCTR(block, iv[:]), R: zeros{}}, f.Size), nil
}

// WriteTo makes the folder dir, which must not exist, with the files in it, and
// checks the hash if it is known.
func (f Files) WriteTo(ctx context.Context, dir string) error {
	content, err := f.Reader()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if f.Name != "" {
		err = writeFile(ctx, filepath.Join(dir, f.Name), content, f.Size, sum)
	}
	for i := int64(0); f.Name == "" && i < f.Count() && err == nil; i++ {
		name := filepath.Join(dir, fmt.Sprintf("d%03d", i/filesPerFolder), fmt.Sprintf("f%05d.bin", i))
		err = writeFile(ctx, name, content, smallFile, sum)
	}
	if err != nil {
		return fmt.Errorf("generate files: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); f.SHA256 != "" && got != f.SHA256 {
		return fmt.Errorf("generate files: SHA-256 is %s, want %s", got, f.SHA256)
	}
	return nil
}

func writeFile(ctx context.Context, name string, content io.Reader, size int64, sum hash.Hash) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(io.MultiWriter(w, sum), content, min(size, 64<<20))
		if err != nil {
			return err
		}
		size -= n
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return out.Close()
}

// zeros is an endless source of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
