# The table of who may talk to whom.

mock_provider "aws" {}

variables {
  name              = "test"
  vpc_id            = "vpc-1"
  s3_prefix_list_id = "pl-1"
  internet_for      = {}
}

run "the_world_reaches_the_balancer_alone" {
  command = plan

  assert {
    condition = toset([
      for name, rule in aws_vpc_security_group_ingress_rule.this : name if rule.cidr_ipv4 != null
    ]) == toset(["internet-balancer-443", "internet-balancer-80"])
    error_message = "Somebody else is open to the world."
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.internet) == 0
    error_message = "Somebody may go out whom nobody named."
  }

  assert {
    condition = alltrue([
      for name in keys(aws_vpc_security_group_ingress_rule.this) : !startswith(name, "monitoring-redis") || endswith(name, "6379")
    ])
    error_message = "Monitoring reaches more of Redis than its port."
  }
}

run "who_goes_out_is_named_with_a_reason" {
  command = plan

  variables {
    internet_for = { web = "Sign-in at the hospital's provider" }
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.internet["web"].description == "Sign-in at the hospital's provider"
    error_message = "The reason is lost."
  }
}

run "inference_never_goes_out" {
  command = plan

  variables {
    internet_for = { inference = "Because it would be handy" }
  }

  expect_failures = [var.internet_for]
}

run "a_reason_is_more_than_a_word" {
  command = plan

  variables {
    internet_for = { web = "OIDC" }
  }

  expect_failures = [var.internet_for]
}
