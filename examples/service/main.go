package main

import (
	"fmt"
	"net/http"
)

// too short for any rule
const shortToken = "WLO7yVy3Dt5IRT"

const githubToken = "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"

func call() (*http.Response, error) {
	req, err := http.NewRequest("GET", "https://api.shop.invalid/v1/orders", nil)
	if err != nil {
		return nil, fmt.Errorf("password reset: %w", err)
	}
	req.Header.Set("Authorization", "Bearer e0cd0ddd84aab87400686d91dcc36149c7eecfae7c91f08b")
	return http.DefaultClient.Do(req)
}
