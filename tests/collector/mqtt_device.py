"""A device as far as a collector can tell: sends, hears what is stored, sends again."""

import time

import paho.mqtt.client as mqtt
from collector_helpers import PREFIX
from paho.mqtt.enums import CallbackAPIVersion
from real_broker import until

from contract.messages import decode, replayed

RESEND_S = 5.0
IN_FLIGHT = 256


class Device:
    """Publishes at QoS 1 and collects the acknowledgements on the command topics."""

    def __init__(self, port):
        self.acknowledged = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/+/command/ack", 1)
        self.client.max_inflight_messages_set(1000)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(self.client.is_connected)

    def _on_message(self, _, __, message):
        self.acknowledged += decode(message.topic, message.payload, prefix=PREFIX).body.ids

    def send(self, encoded, *, qos=1, retain=False):
        sent = self.client.publish(encoded.topic, encoded.payload, qos, retain)
        sent.wait_for_publish(10)
        return encoded.id

    def deliver(self, messages, *, per_s=None, within_s=60.0):
        """Send all until all are acknowledged, each again after five seconds without a word."""
        waiting = {each.id: each for each in messages}
        sent_s, heard, began_s = {}, 0, time.monotonic()
        while waiting:
            now_s = time.monotonic()
            assert now_s - began_s < within_s, f"{len(waiting)} messages are not acknowledged"
            while heard < len(self.acknowledged):
                waiting.pop(self.acknowledged[heard], None)
                sent_s.pop(self.acknowledged[heard], None)
                heard += 1
            for each in list(waiting.values())[:IN_FLIGHT]:
                last_s = sent_s.get(each.id)
                if last_s is None or now_s - last_s > RESEND_S:
                    payload = each.payload if last_s is None else replayed(each.payload)
                    self.client.publish(each.topic, payload, 1)
                    sent_s[each.id] = now_s
                    if per_s:
                        time.sleep(1 / per_s)
                        break
            else:
                time.sleep(0.005)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
