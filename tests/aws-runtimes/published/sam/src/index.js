exports.handler = async () => "synced by sam";
