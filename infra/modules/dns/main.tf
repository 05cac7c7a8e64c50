# The public name with its certificate, and a zone inside: services find each other by names alone.

data "aws_route53_zone" "public" {
  name = var.zone
}

resource "aws_acm_certificate" "this" {
  domain_name       = var.domain
  validation_method = "DNS"

  tags = { Name = var.domain }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  zone_id         = data.aws_route53_zone.public.zone_id
  name            = one(aws_acm_certificate.this.domain_validation_options).resource_record_name
  type            = one(aws_acm_certificate.this.domain_validation_options).resource_record_type
  records         = [one(aws_acm_certificate.this.domain_validation_options).resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [aws_route53_record.validation.fqdn]
}

resource "aws_route53_record" "public" {
  zone_id = data.aws_route53_zone.public.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = var.edge.dns_name
    zone_id                = var.edge.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_zone" "inner" {
  #checkov:skip=CKV2_AWS_38:A private zone cannot be signed.
  #checkov:skip=CKV2_AWS_39:A private zone is asked by our own instances alone.
  name    = "${var.name}.internal"
  comment = "How the instances find each other"

  vpc {
    vpc_id = var.vpc_id
  }
}

resource "aws_route53_record" "services" {
  zone_id = aws_route53_zone.inner.zone_id
  name    = "services.${var.name}.internal"
  type    = "A"

  alias {
    name                   = var.services.dns_name
    zone_id                = var.services.zone_id
    evaluate_target_health = false
  }
}
