//! Who may do what in etcd: `root` everything, each reader one prefix, everybody else nothing.
//!
//! Users have no passwords: etcd knows them by the common name of their mesh certificates. Setting up is idempotent, and
//! refuses to go on where a reader could do more than it should: somebody else has been at it.

use super::{
    Etcd, EtcdError,
    messages::{
        AuthEnableRequest, AuthHeader, Permission, PermissionType, RoleAddRequest, RoleGetRequest,
        RoleGetResponse, RoleGrantPermissionRequest, UserAddOptions, UserAddRequest, UserGetRequest,
        UserGetResponse, UserGrantRoleRequest,
    },
    prefix_end,
};

/// etcd's name for the user, and the role, that may do everything.
const ROOT: &str = "root";

/// A user that may read the keys with one prefix, and nothing else. Its role has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOnly<'a> {
    /// The user: a certificate's common name.
    pub user: &'a str,
    /// What it may read.
    pub prefix: &'a str,
}

/// Why the rights are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A call failed.
    #[error("cannot set up users and roles in etcd")]
    Etcd(#[source] EtcdError),
    /// A user has roles beyond its own.
    #[error(
        "the etcd user `{user}` has the roles `{}`, expected is its own only: revoke the others (etcdctl user revoke-role)",
        .roles.join("`, `")
    )]
    Roles {
        /// Which.
        user: String,
        /// All its roles.
        roles: Vec<String>,
    },
    /// A role may do more than it should.
    #[error(
        "the etcd role `{role}` may do more than read `{prefix}`: revoke the rest (etcdctl role revoke-permission)"
    )]
    Permissions {
        /// Which.
        role: String,
        /// What it should be able to read.
        prefix: String,
    },
}

impl Etcd {
    /// Makes the users and roles that are missing, checks those that are there, and switches authentication on. May be
    /// done again at any time, also by several at once.
    ///
    /// # Errors
    /// [`AuthError`]; authentication may be off then.
    pub async fn set_up_auth(&self, readers: &[ReadOnly<'_>]) -> Result<(), AuthError> {
        for reader in readers {
            self.set_up_reader(*reader).await?;
        }
        // last, and enabled only afterwards: from then on only root can do all this
        self.ensure_user(ROOT).await?;
        self.ensure_role(ROOT).await?;
        self.grant_role(ROOT, ROOT).await?;
        self.auth::<_, AuthHeader>("/etcdserverpb.Auth/AuthEnable", &AuthEnableRequest {}).await?;
        Ok(())
    }

    async fn set_up_reader(&self, ReadOnly { user, prefix }: ReadOnly<'_>) -> Result<(), AuthError> {
        self.ensure_role(user).await?;
        let permission = Permission {
            kind: PermissionType::Read.into(),
            key: prefix.as_bytes().to_vec(),
            range_end: prefix_end(prefix.as_bytes()),
        };
        let grant =
            RoleGrantPermissionRequest { name: user.to_owned(), permission: Some(permission.clone()) };
        self.auth::<_, AuthHeader>("/etcdserverpb.Auth/RoleGrantPermission", &grant).await?;
        let role = RoleGetRequest { role: user.to_owned() };
        let role: RoleGetResponse = self.auth("/etcdserverpb.Auth/RoleGet", &role).await?;
        if role.permissions != [permission] {
            return Err(AuthError::Permissions { role: user.to_owned(), prefix: prefix.to_owned() });
        }
        self.ensure_user(user).await?;
        self.grant_role(user, user).await?;
        let request = UserGetRequest { name: user.to_owned() };
        let UserGetResponse { roles, .. } = self.auth("/etcdserverpb.Auth/UserGet", &request).await?;
        if roles == [user] { Ok(()) } else { Err(AuthError::Roles { user: user.to_owned(), roles }) }
    }

    async fn ensure_user(&self, name: &str) -> Result<(), AuthError> {
        let options = Some(UserAddOptions { no_password: true });
        let request = UserAddRequest { name: name.to_owned(), options };
        self.ensure("/etcdserverpb.Auth/UserAdd", &request).await
    }

    async fn ensure_role(&self, name: &str) -> Result<(), AuthError> {
        self.ensure("/etcdserverpb.Auth/RoleAdd", &RoleAddRequest { name: name.to_owned() }).await
    }

    async fn grant_role(&self, user: &str, role: &str) -> Result<(), AuthError> {
        let request = UserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
        self.ensure("/etcdserverpb.Auth/UserGrantRole", &request).await
    }

    async fn ensure<Q>(&self, path: &'static str, request: &Q) -> Result<(), AuthError>
    where
        Q: prost::Message + Clone + 'static,
    {
        match self.call_repeatable::<Q, AuthHeader>(path, request).await {
            Ok(_) | Err(EtcdError::Exists) => Ok(()),
            Err(error) => Err(AuthError::Etcd(error)),
        }
    }

    async fn auth<Q, A>(&self, path: &'static str, request: &Q) -> Result<A, AuthError>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        self.call_repeatable(path, request).await.map_err(AuthError::Etcd)
    }
}
