# The one public door: a load balancer that speaks TLS with the world, and Nginx behind it in private
# subnets. The balancer encrypts again towards Nginx, and Nginx sees the callers' own addresses.

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:Its lines would hold the addresses of people; Nginx logs what is needed without them.
  #checkov:skip=CKV2_AWS_20:Nginx redirects to TLS.
  name                             = "${var.name}-edge"
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.public_subnet_ids
  security_groups                  = [var.group_ids.balancer]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.keep

  tags = { Name = "${var.name}-edge" }
}

resource "aws_lb_target_group" "https" {
  name                 = "${var.name}-edge-https"
  vpc_id               = var.vpc_id
  protocol             = "TLS"
  port                 = 443
  target_type          = "instance"
  preserve_client_ip   = "true"
  deregistration_delay = 60

  health_check {
    protocol            = "TCP"
    port                = "443"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Name = "${var.name}-edge-https" }
}

# Plain HTTP: Nginx answers with a redirect and nothing else.
resource "aws_lb_target_group" "http" {
  #checkov:skip=CKV_AWS_378:Only the redirect to TLS is spoken here.
  name                 = "${var.name}-edge-http"
  vpc_id               = var.vpc_id
  protocol             = "TCP"
  port                 = 80
  target_type          = "instance"
  preserve_client_ip   = "true"
  deregistration_delay = 10

  health_check {
    protocol            = "TCP"
    port                = "80"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Name = "${var.name}-edge-http" }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "TLS"
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  alpn_policy       = "HTTP2Preferred"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.https.arn
  }
}

resource "aws_lb_listener" "http" {
  #checkov:skip=CKV_AWS_2:Nginx redirects what comes here to TLS.
  #checkov:skip=CKV_AWS_103:As above.
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.http.arn
  }
}

module "fleet" {
  source = "../fleet"

  name              = var.name
  role              = "edge"
  image_id          = var.image_id
  instance_type     = var.instance_type
  size              = var.size
  subnet_ids        = var.subnet_ids
  group_id          = var.group_ids.edge
  instance_profile  = var.instance_profile
  target_group_arns = [aws_lb_target_group.https.arn, aws_lb_target_group.http.arn]
  bundle            = var.bundle
  settings          = var.settings
  tags              = var.tags
}
