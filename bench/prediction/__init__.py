"""What plans take, predicted and measured."""
