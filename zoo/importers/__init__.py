"""Data of other tools, as samples: ``formats`` lists what is read, ``convert`` does all."""
