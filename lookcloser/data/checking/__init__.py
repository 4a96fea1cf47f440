"""What is wrong with a data set, found before it is learned."""
