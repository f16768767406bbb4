select count(*) as sent
from deliveries
where user_id = $1 and at > $2 and kind = $3 and outcome = 'sent'
