from sandbox.calls import calling
from tieline.sandbox import LEDGERLY_KEY, Ledgerly

PATH = "/api/customers/C1001"


async def test_a_customer_is_guarded_by_the_time_of_its_last_change(clock):
    """Who was meant to be overwritten or deleted as they were is not, once finance has edited them."""
    erp = Ledgerly(customers=2, clock=clock)
    async with calling(erp) as call:
        as_read = {"X-Ledgerly-Key": LEDGERLY_KEY, "If-Match": f'"{erp.records()[0]["modified_at"]}"'}
        clock.seconds += 1
        erp.edit("C1001", {"company": "Wholesale Pty Ltd"})
        refused = [
            (await call(method, PATH, body, headers=as_read)).status for method, body in (("PATCH", {"terms": "7 days"}), ("DELETE", None))
        ]
        now = {**as_read, "If-Match": f'"{erp.records()[0]["modified_at"]}"'}
        done = await call("PATCH", PATH, {"terms": "7 days"}, headers=now)

    assert [412, 412] == refused
    assert (200, "7 days", "Wholesale Pty Ltd") == (done.status, done.body["terms"], done.body["company"])
