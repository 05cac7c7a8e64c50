output "bundle" {
  description = "Where instances find it, and what they must find: bucket, key, sha256."
  value = {
    bucket = var.bucket
    key    = aws_s3_object.bundle.key
    sha256 = local.sha256
  }
}
