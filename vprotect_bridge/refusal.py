"""How a wish that can never work is turned down."""

from django.utils.functional import Promise


class WishRefused(Exception):
    """Nothing was kept. `user_message` is for the person, `field` names the input that it is about, if one."""

    def __init__(self, user_message: str | Promise, field: str = "") -> None:
        super().__init__(str(user_message))
        self.user_message = user_message
        self.field = field
