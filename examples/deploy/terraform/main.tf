terraform {
  cloud {
    organization = "shop"
    token        = "AJ2bf0dcKq2pfH.atlasv1.hRO5vP2FWyXAKuhhwTqEYKaL6Ddd6RBSn1Gc9pCKDcWKOJCW8N7g6HCXuO6kX5AoGoZ"
  }
}

provider "digitalocean" {
  token = "dop_v1_47fafda00fba85faa5398e4e7dbe530700628a964e1e5bd8a1e2a6da0e00f6ac"
}

variable "db_password" {
  type      = string
  sensitive = true
}

resource "random_password" "db" {
  length = 32
}
