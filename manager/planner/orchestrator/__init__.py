"""One pass over a service or a job: its slots, a decision about each of them, and the requests that follow."""
