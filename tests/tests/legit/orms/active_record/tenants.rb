require "active_record"

module Tenant
  # One transaction in one tenant; transaction(requires_new: true), a savepoint, works inside.
  def self.use(org, base = ActiveRecord::Base)
    base.transaction do
      base.connection.execute("SELECT plio.set_tenant(#{base.connection.quote(org)})", "Tenant")
      base.connection.clear_query_cache # or the last tenant's answers come from it
      yield
    end
  ensure
    base.connection.clear_query_cache
  end
end
