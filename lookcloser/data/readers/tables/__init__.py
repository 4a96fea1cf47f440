"""Tables of images, whatever their columns are called."""
