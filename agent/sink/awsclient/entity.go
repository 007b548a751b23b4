package awsclient

// Entity says what data speak of (CloudWatch User Guide, "How to add related
// information to telemetry").
type Entity struct {
	KeyAttributes map[string]string `json:"k"`
	Attributes    map[string]string `json:"a,omitempty"`
}

// InstanceEntity returns the entity of an EC2 instance, or nil while its id is
// unknown. Its Auto Scaling group, its EKS cluster and its name there are "" if
// it has none. Names of attributes are those that the CloudWatch agent sends.
func InstanceEntity(id, group, cluster, node string) *Entity {
	if id == "" {
		return nil
	}
	e := &Entity{
		KeyAttributes: map[string]string{"Type": "AWS::Resource", "ResourceType": "AWS::EC2::Instance", "Identifier": id},
		Attributes:    map[string]string{"PlatformType": "AWS::EC2", "EC2.InstanceId": id},
	}
	if cluster != "" {
		e.Attributes["PlatformType"] = "AWS::EKS"
	}
	for name, value := range map[string]string{"EC2.AutoScalingGroup": group, "EKS.Cluster": cluster, "K8s.Node": node} {
		if value != "" {
			e.Attributes[name] = value
		}
	}
	return e
}
