"""What is kept between passes and follows the store: resources in use, slots, sharing of networks."""
