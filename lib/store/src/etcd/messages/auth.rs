//! Users and roles.

use super::ResponseHeader;

/// Switches authentication on.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AuthEnableRequest {}

/// The answer of every call that changes users or roles.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AuthHeader {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Adds a user.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserAddRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Options. The password (field 2) is never sent: users are known by their certificates.
    #[prost(message, optional, tag = "3")]
    pub options: Option<UserAddOptions>,
}

/// Options of a user.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UserAddOptions {
    /// Known by the certificate's common name only.
    #[prost(bool, tag = "1")]
    pub no_password: bool,
}

/// Asks for a user.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A user.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserGetResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The names of its roles.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
}

/// Gives a user a role.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserGrantRoleRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The role.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// Adds a role.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoleAddRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Asks for a role.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoleGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub role: String,
}

/// A role.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoleGetResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What it may do.
    #[prost(message, repeated, tag = "2")]
    pub permissions: Vec<Permission>,
}

/// Gives a role a permission.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoleGrantPermissionRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The permission.
    #[prost(message, optional, tag = "2")]
    pub permission: Option<Permission>,
}

/// What may be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PermissionType {
    /// Read.
    Read = 0,
    /// Write.
    Write = 1,
    /// Both.
    ReadWrite = 2,
}

/// What may be done with a range of keys.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Permission {
    /// What.
    #[prost(enumeration = "PermissionType", tag = "1")]
    pub kind: i32,
    /// The first key.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// The key behind the last one; empty: only `key`.
    #[prost(bytes = "vec", tag = "3")]
    pub range_end: Vec<u8>,
}
