# Subnets, ways out, and doors to AWS.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name               = "test"
  cidr               = "10.42.0.0/16"
  zones              = ["eu-west-1a", "eu-west-1b"]
  nat                = "one"
  endpoints          = ["secretsmanager"]
  endpoints_group_id = "sg-1"
  bucket_arns        = ["arn:aws:s3:::bundles"]
  kms_key_arn        = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_days           = 365
}

run "six_kinds_in_each_zone_without_public_addresses" {
  command = plan

  assert {
    condition     = length(aws_subnet.this) == 12 && !anytrue([for subnet in aws_subnet.this : subnet.map_public_ip_on_launch])
    error_message = "Subnets are missing, or give public addresses."
  }

  assert {
    condition     = length(distinct([for subnet in aws_subnet.this : subnet.cidr_block])) == 12
    error_message = "Two subnets have the same addresses."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "One NAT gateway does not serve both zones."
  }
}

run "the_addresses_of_each_kind_are_told" {
  command = plan

  assert {
    condition = output.subnet_cidrs.edge == [
      for zone in ["eu-west-1a", "eu-west-1b"] : aws_subnet.this["edge-${zone}"].cidr_block
    ]
    error_message = "Grafana would believe others than the edge."
  }
}

run "no_way_out_where_nobody_needs_one" {
  command = plan

  variables {
    nat = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0
    error_message = "There is a way out."
  }
}

run "a_zone_of_its_own_way_out" {
  command = plan

  variables {
    nat = "each_zone"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2
    error_message = "A zone that fails takes the other's way out."
  }
}

run "one_zone_is_refused" {
  command = plan

  variables {
    zones = ["eu-west-1a"]
  }

  expect_failures = [var.zones]
}

run "a_small_network_is_refused" {
  command = plan

  variables {
    cidr = "10.42.0.0/24"
  }

  expect_failures = [var.cidr]
}
