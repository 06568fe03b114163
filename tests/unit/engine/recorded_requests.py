"""Bodies of creation requests as docker 28.2.2 sends them."""

import json
from typing import Any

_HOST = (
    '{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},'
    '"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"VolumeDriver":"","VolumesFrom":null,'
    '"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],'
    '"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",'
    '"Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"",'
    '"ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,'
    '"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],'
    '"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"",'
    '"CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,'
    '"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"CpuPercent":0,'
    '"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null}'
)
_CONFIG = (
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Tty":false,'
    '"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["echo","hi"],"Image":"alpine","Volumes":{},"WorkingDir":"",'
    '"Entrypoint":null,"OnBuild":null,"Labels":{}}'
)
_ENDPOINT = (
    '{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"",'
    '"EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"",'
    '"GlobalIPv6PrefixLen":0,"DNSNames":null}'
)

CREATE_RM: dict[str, Any] = {
    **json.loads(_CONFIG),
    "HostConfig": json.loads(_HOST),
    "NetworkingConfig": {"EndpointsConfig": {"default": json.loads(_ENDPOINT)}},
}
"""docker run --rm alpine echo hi"""

CREATE_C1: dict[str, Any] = {
    **json.loads(_CONFIG),
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": {"80/tcp": {}},
    "Cmd": ["sh", "-c", "i=0; while [ $i -lt 200 ]; do echo tick $i; i=$((i+1)); sleep .2; done"],
    "HostConfig": {
        **json.loads(_HOST),
        "Binds": ["v1:/data"],
        "NetworkMode": "n1",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "18080"}]},
        "AutoRemove": False,
    },
    "NetworkingConfig": {"EndpointsConfig": {}},
}
"""docker run -d --name c1 -p 18080:80 -v v1:/data --network n1 alpine sh -c …"""
