output "bundle" {
  description = "Where instances find it, and what they must find: bucket, key, sha256."
  value = {
    bucket = var.bucket
    key    = aws_s3_object.bundle.key
    sha256 = local.sha256
  }
}

output "trainer" {
  description = "The same of what the trainer needs besides; an empty list where none was given."
  value = [
    for object in aws_s3_object.trainer : { bucket = var.bucket, key = object.key, sha256 = local.trainer }
  ]
}
