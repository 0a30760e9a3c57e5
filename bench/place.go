package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dataVar names the folder for data sets and temporary folders.
const dataVar = "BENCH_TMP"

// moduleRoot finds the folder with go.mod, upwards from the working folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "bench", "js", "lib.js")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("run this inside the repository: there is no bench/js above the working folder")
		}
		dir = up
	}
}

// dataFolder makes the folder for data sets, on a real disk.
func dataFolder() (string, error) {
	base := os.Getenv(dataVar)
	if base == "" {
		base = os.TempDir()
	}
	dir, err := filepath.Abs(filepath.Join(base, "cloudpal-bench"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if inMemory(dir) {
		return "", fmt.Errorf("%s is in memory: set %s to a folder on the disk to be measured", dir, dataVar)
	}
	return dir, nil
}
