"""What each endpoint of vProtect answers: a module for each subject, with its routes at the end."""
