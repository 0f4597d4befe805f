"""What the manifests of deploy/kubernetes may say: the fields of KubeRay's API (ray.io/v1) and of
Kubernetes' own that they use, by name and type. A misspelt field would be dropped by a server in
silence; here no other is allowed.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITIES: Schema = {
    "type": "object",
    "additionalProperties": {"type": "string", "pattern": r"^\d+(Gi|Mi|m)?$"},
}
_NAME = r"^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$"


def record(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


NAME: Schema = {"type": "string", "pattern": _NAME}
METADATA = {
    "type": "object",
    "properties": {"name": NAME, "generateName": TEXT, "labels": TEXTS},
    "additionalProperties": False,
    "oneOf": [{"required": ["name"]}, {"required": ["generateName"]}],
}
CONTAINER = record(
    {"name": NAME, "image": TEXT},
    resources=record({"requests": QUANTITIES, "limits": QUANTITIES}),
    env=many(record({"name": TEXT, "value": TEXT})),
    volumeMounts=many(record({"name": NAME, "mountPath": TEXT}, readOnly=FLAG)),
)
VOLUME = record(
    {"name": NAME},
    persistentVolumeClaim=record({"claimName": NAME}, readOnly=FLAG),
    emptyDir=record({"medium": {"const": "Memory"}, "sizeLimit": TEXT}),
)
POD = record(
    {"containers": many(CONTAINER)},
    volumes=many(VOLUME),
    securityContext=record({"runAsNonRoot": FLAG, "runAsUser": COUNT, "fsGroup": COUNT}),
    tolerations=many(record({"key": TEXT, "operator": TEXT, "effect": TEXT})),
    terminationGracePeriodSeconds=COUNT,
)
POD_TEMPLATE = record({"metadata": record({"labels": TEXTS}), "spec": POD})
CLUSTER = record(
    {
        "rayVersion": TEXT,
        "headGroupSpec": record({"rayStartParams": TEXTS, "template": POD_TEMPLATE}),
        "workerGroupSpecs": many(
            record(
                {
                    "groupName": NAME,
                    "minReplicas": COUNT,
                    "maxReplicas": COUNT,
                    "rayStartParams": TEXTS,
                    "template": POD_TEMPLATE,
                },
                replicas=COUNT,
            )
        ),
    },
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=record({"idleTimeoutSeconds": COUNT}),
)


def manifest(api: str, kind: str, spec: Schema) -> Schema:
    return record(
        {"apiVersion": {"const": api}, "kind": {"const": kind}, "metadata": METADATA, "spec": spec}
    )


_PODS = record({"matchLabels": TEXTS})
MANIFESTS = {
    "raycluster.yaml": manifest("ray.io/v1", "RayCluster", CLUSTER),
    "rayjob.yaml": manifest(
        "ray.io/v1",
        "RayJob",
        record(
            {"entrypoint": TEXT, "rayClusterSpec": CLUSTER},
            backoffLimit=COUNT,
            shutdownAfterJobFinishes=FLAG,
            ttlSecondsAfterFinished=COUNT,
        ),
    ),
    "volume.yaml": manifest(
        "v1",
        "PersistentVolumeClaim",
        record(
            {
                "accessModes": many({"enum": ["ReadWriteMany", "ReadWriteOnce"]}),
                "resources": record({"requests": QUANTITIES}),
            },
            storageClassName=TEXT,
        ),
    ),
    "network.yaml": manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        record(
            {
                "podSelector": _PODS,
                "policyTypes": many({"enum": ["Ingress", "Egress"]}),
                "ingress": many(
                    record(
                        {
                            "from": many(
                                record(
                                    {},
                                    podSelector={"anyOf": [_PODS, {"const": {}}]},
                                    namespaceSelector={"anyOf": [_PODS, {"const": {}}]},
                                )
                            )
                        }
                    )
                ),
            }
        ),
    ),
}
"""The schema of each file."""
