"""The operations on images, and builds."""
