"""The pages for people. Talks to inference_service over HTTP and to nothing else."""
