"""HTTP as both clients speak it: addresses, requests, responses, retries."""
